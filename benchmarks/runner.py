"""How fast the runner is when the model is not what it waits for: ``python -m benchmarks.runner``.

Rows per second through the runner, all its wrappers and a cold cache, with a model in the process that answers at once; and with a server
in another process that takes 50 ms, at 16 requests at once, against the 320 a second that this allows. The rows are those of
an evaluation, the prompts real.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.upstream import upstream
from evals.cache import Cached, ReplyCache
from evals.commands.running import paid
from evals.data import Row, load_examples
from evals.run import evaluated_rows, run
from evals.workspace import Workspace
from orchestrator.catalogue import find_model
from orchestrator.llm import LLM, OpenAIChat, Reply, Request, openai_client
from orchestrator.prompts import Prompt, Renderer, load_prompt
from orchestrator.testing import scripted_reply

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ("classify-002", "classify-005")  # with the same examples for all messages, and with examples retrieved for each
RUNS = 7  # the median is printed: what else the machine does moves single runs by a factor of two
CONCURRENCY = 16
SERVICE_S = 0.05


async def through(rows: list[Row], prompt: Prompt, llm: LLM) -> float:
    """Return rows per second with a cold cache."""
    model = find_model("smollm2-135m")
    render = Renderer(prompt, model, load_examples(ROOT / "datasets"))
    render(rows[0].as_message())
    with tempfile.TemporaryDirectory() as folder, ReplyCache(Path(folder) / "replies.sqlite") as cache:
        cached = Cached(paid(llm, model, most=CONCURRENCY, max_usd=1.0), cache)
        started = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            await run(rows, prompt, render, cached, concurrency=2 * CONCURRENCY, title="")
        return len(rows) / (time.perf_counter() - started)


async def in_process(rows: list[Row], prompt: Prompt) -> float:
    """Return rows per second with a model that answers at once."""
    reply = scripted_reply(dict.fromkeys(prompt.codes.values(), 1 / 3))

    async def at_once(_: Request, /) -> Reply:
        return reply

    return await through(rows, prompt, at_once)


async def over_http(rows: list[Row], prompt: Prompt, port: int) -> float:
    """Return rows per second with the server of another process."""
    chat = OpenAIChat(openai_client(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", connections=CONCURRENCY))
    try:
        return await through(rows, prompt, chat)
    finally:
        await chat.aclose()


def main() -> None:
    """Print both figures for each prompt."""
    rows = evaluated_rows(Workspace(ROOT))
    for name in PROMPTS:
        prompt = load_prompt(ROOT / "prompts" / f"{name}.yaml")
        show(f"{name}, model in the process", [asyncio.run(in_process(rows, prompt)) for _ in range(RUNS)])
        with upstream(list(prompt.codes.values()), SERVICE_S) as server:
            show(
                f"{name}, 50 ms over HTTP",
                [asyncio.run(over_http(rows, prompt, server.port)) for _ in range(RUNS)],
                CONCURRENCY / SERVICE_S,
            )


def show(name: str, rates: list[float], ideal: float | None = None) -> None:
    """Print the median and the range of some rates."""
    median = statistics.median(rates)
    share = f", {median / ideal:.0%} of {ideal:.0f}" if ideal else ""
    print(f"{name:36} {median:5.0f} rows/s{share} (median of {len(rates)}; {min(rates):.0f} to {max(rates):.0f})", flush=True)


if __name__ == "__main__":
    main()
