"""How fast the embedded model answers, by number of server slots and concurrency: ``python -m benchmarks.embedded``.

It is compared with itself at one slot. Each setting asks the same dev messages with the same few-shot prompt, uncached.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from evals.data import Split, load_examples, load_split
from orchestrator.catalogue import find_model
from orchestrator.classify import ask
from orchestrator.llm import OpenAIChat, openai_client
from orchestrator.local import embedded_server
from orchestrator.prompts import Renderer, load_prompt

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = 60
SETTINGS = ((1, 1), (1, 4), (2, 2), (4, 4))  # (slots, concurrency)


async def measure(slots: int, concurrency: int) -> float:
    """Return seconds per message."""
    model, prompt = find_model("smollm2-135m"), load_prompt(ROOT / "prompts" / "classify-002.yaml")
    render = Renderer(prompt, model, load_examples(ROOT / "datasets"))
    rows = load_split(ROOT / "datasets", Split.DEV)[:MESSAGES]
    with embedded_server(model, slots=slots) as base_url:
        llm = OpenAIChat(openai_client(base_url=base_url, api_key="none", connections=concurrency))
        for row in rows[:slots]:  # the few-shot prefix is computed once per slot
            await ask(row.as_message(), prompt, render, llm)
        gate = asyncio.Semaphore(concurrency)

        async def one(index: int) -> None:
            async with gate:
                await ask(rows[index].as_message(), prompt, render, llm)

        started = time.perf_counter()
        await asyncio.gather(*(one(index) for index in range(len(rows))))
        took = time.perf_counter() - started
        await llm.aclose()
    return took / len(rows)


def main() -> None:
    """Print one line per setting."""
    base = None
    for slots, concurrency in SETTINGS:
        seconds = asyncio.run(measure(slots, concurrency))
        base = base or seconds
        print(f"slots {slots}  concurrency {concurrency}  {seconds:.3f} s/message  {base / seconds:.2f}x of one slot, one at a time")


if __name__ == "__main__":
    main()
