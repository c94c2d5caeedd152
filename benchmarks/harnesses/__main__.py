"""The runner beside promptfoo and Inspect: ``python -m benchmarks.harnesses``.

All three send the same gate messages, rendered once by the same prompt, to the same server on this machine, 16 at a time and with no
cache to read from, and compare each answer with the label. Each is a process of its own. Its start is told apart from its work by
running it on few rows and on all: the rate is that of the rows between, the whole is what one waits for. The others are installed
into ``.cache/harnesses`` and ``.cache/promptfoo`` (minutes), in the versions below and in evals/promptfoo/install.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.runner import CONCURRENCY, ROOT, SERVICE_S, over_http
from benchmarks.upstream import Server, upstream
from evals.data import Row, Split, load_examples, load_split
from evals.promptfoo import install as promptfoo
from evals.promptfoo import invoke
from orchestrator.catalogue import find_model
from orchestrator.llm import arguments
from orchestrator.prompts import Prompt, Renderer, load_prompt

HERE = Path(__file__).resolve().parent
INSTALLED = ROOT / ".cache" / "harnesses"
VENV = INSTALLED / "venv"
PYTHON_PACKAGES = ("inspect-ai==0.3.285", "openai==3.57.0")
PROMPT = "classify-002"
FEW, RUNS = 20, 3

Command = Callable[[int, int], tuple[list[str], dict[str, str]]]  # (rows, port) -> what to run, in which environment


def install() -> None:
    """Put the other harnesses into a folder of their own, once."""
    if not (VENV / "bin" / "inspect").exists():
        _run([sys.executable, "-m", "venv", str(VENV)])
        _run([str(VENV / "bin" / "pip"), "install", "--quiet", *PYTHON_PACKAGES])
    promptfoo.install(ROOT / promptfoo.FOLDER)


def _run(command: list[str], **environment: str) -> None:
    path = {"PATH": f"{VENV / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=INSTALLED, env=os.environ | path | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


class Prepared:
    """The rows in the form that each harness reads, in a scratch folder."""

    def __init__(self, folder: Path, rows: list[Row], prompt: Prompt) -> None:
        """Render all rows."""
        self.folder = folder
        self.rows = rows
        self.render = Renderer(prompt, find_model("smollm2-135m"), load_examples(ROOT / "datasets"))
        self.codes = prompt.codes

    def lines(self, count: int) -> Path:
        """Write the first ``count`` rows as turns and wanted codes, and return where."""
        path = self.folder / f"rows-{count}.jsonl"
        made = [{"turns": self._request(row)["messages"], "wanted": self.codes[row.label]} for row in self.rows[:count]]
        path.write_text("".join(json.dumps(line) + "\n" for line in made), encoding="utf-8")
        return path

    def config(self, count: int, port: int) -> Path:
        """Write a promptfoo configuration of the first ``count`` rows, and return where."""
        body = self._request(self.rows[0])
        settings = {name: value for name, value in body.items() if name not in {"model", "messages", "max_completion_tokens"}}
        passed = settings | {"max_tokens": body["max_completion_tokens"]}
        lines = [json.loads(line) for line in self.lines(count).read_text(encoding="utf-8").splitlines()]
        config = {
            "prompts": [f"file://{HERE / 'prompt.cjs'}"],
            "providers": [
                {
                    "id": "openai:chat:smollm2-135m",
                    "config": {"apiBaseUrl": f"http://127.0.0.1:{port}/v1", "apiKey": "none", "passthrough": passed},
                }
            ],
            "tests": [
                {
                    "vars": {"turns": json.dumps(line["turns"]), "wanted": line["wanted"]},
                    "assert": [
                        {
                            "type": "javascript",
                            "value": "(typeof output === 'string' ? JSON.parse(output) : output).category === context.vars.wanted",
                        }
                    ],
                }
                for line in lines
            ],
        }
        path = self.folder / f"promptfoo-{count}.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return path

    def _request(self, row: Row) -> dict[str, Any]:
        return arguments(self.render(row.as_message()))

    # The three harnesses.

    def ours(self, count: int, port: int) -> tuple[list[str], dict[str, str]]:
        """Our runner, with rendering, its wrappers and a cold cache."""
        return [sys.executable, "-m", "benchmarks.harnesses", "ours", str(count), str(port)], {"PYTHONPATH": str(ROOT)}

    def inspect(self, count: int, port: int) -> tuple[list[str], dict[str, str]]:
        """Inspect, through its OpenAI provider and chat completions."""
        command = [
            str(VENV / "bin" / "inspect"),
            "eval",
            os.path.relpath(HERE / "inspect_task.py", INSTALLED),
            "--model",
            "openai/smollm2-135m",
        ]
        command += ["-M", "responses_api=false", "--model-base-url", f"http://127.0.0.1:{port}/v1"]
        command += ["--max-connections", str(CONCURRENCY), "--logprobs", "--top-logprobs", "20", "--temperature", "0", "--max-tokens", "16"]
        command += ["--display", "none", "--log-dir", str(self.folder / "logs")]
        return command, {"ROWS": str(self.lines(count)), "OPENAI_API_KEY": "none"}

    def promptfoo(self, count: int, port: int) -> tuple[list[str], dict[str, str]]:
        """Promptfoo, through its OpenAI provider."""
        command = [*invoke.command(ROOT / promptfoo.FOLDER, ["eval"]), "--config", str(self.config(count, port))]
        command += ["--max-concurrency", str(CONCURRENCY), "--no-cache", "--no-table", "--no-progress-bar"]
        command += ["--output", str(self.folder / "promptfoo.json")]
        return command, invoke.environment(ROOT / promptfoo.FOLDER) | {"PROMPTFOO_CONFIG_DIR": str(self.folder / "promptfoo")}


def measure(name: str, command: Command, total: int, server: Server) -> None:
    """Print the rate and the whole time of one harness, medians of some runs. Every run must have asked about every row, once."""
    seconds: dict[int, list[float]] = {FEW: [], total: []}
    for _ in range(RUNS):
        for count, taken in seconds.items():
            arguments_, environment = command(count, server.port)
            before, started = server.answered.value, time.perf_counter()
            _run(arguments_, **environment)
            taken.append(time.perf_counter() - started)
            if (asked := server.answered.value - before) != count:
                raise SystemExit(f"{name} asked {asked} times about {count} rows: its rate would say nothing")
    rates = [(total - FEW) / (whole - few) for few, whole in zip(seconds[FEW], seconds[total], strict=True)]
    print(
        f"{name:12} {statistics.median(rates):7.0f} rows/s ({min(rates):.0f} to {max(rates):.0f}),"
        f" whole {statistics.median(seconds[total]):5.1f} s for {total} rows,"
        f" of which start {statistics.median(seconds[FEW]):4.1f} s",
        flush=True,
    )


def main() -> None:
    """Install, then print a line for each harness, at each delay of the server."""
    rows, prompt = load_split(ROOT / "datasets", Split.GATE), load_prompt(ROOT / "prompts" / f"{PROMPT}.yaml")
    if sys.argv[1:2] == ["ours"]:
        count, port = map(int, sys.argv[2:])
        asyncio.run(over_http(rows[:count], prompt, port))
        return
    INSTALLED.mkdir(parents=True, exist_ok=True)
    install()
    for delay_s in (0.0, SERVICE_S):
        with tempfile.TemporaryDirectory() as folder, upstream(list(prompt.codes.values()), delay_s) as server:
            ready = Prepared(Path(folder), rows, prompt)
            print(f"server answers after {1000 * delay_s:g} ms, {CONCURRENCY} requests at once")
            for name, command in (("this runner", ready.ours), ("inspect_ai", ready.inspect), ("promptfoo", ready.promptfoo)):
                measure(name, command, len(rows), server)


if __name__ == "__main__":
    main()
