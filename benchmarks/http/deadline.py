"""How late answers are when the LLM's server misbehaves: ``python -m benchmarks.http.deadline``.

Every way to misbehave that ``orchestrator.testing`` has, at 10 requests a second, each with a deadline that is shorter than the LLM's
timeout. Late is what an answer takes beyond its deadline, below zero where it needs less. Then many that hang at once: they share the
processor.
"""

from __future__ import annotations

import argparse
import json

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import Load, closed_loop, open_loop
from orchestrator.testing import Toxic, misbehaving_upstream

DEADLINE_S = 0.5
RATE = 10
CROWDS = (10, 50, 80)  # places of ordinary messages are 80
TOLD = {"BREAKER_MIN_CALLS": "1000000"}  # an open breaker would answer at once


def main() -> None:
    """Print by how much the latest answer missed its deadline."""
    parser = argparse.ArgumentParser(description="How late answers are when the LLM's server misbehaves.")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    seconds = parser.parse_args().seconds
    servers.keep_to_last_core()
    sent = [_with_deadline(request) for request in traffic.requests()]
    print(f"\nDeadline of {DEADLINE_S * 1e3:g} ms (target: no answer more than 50 ms beyond it)\n")
    table.head("the LLM's server", "requests", "answers other than 200", "degraded", "latest, ms beyond the deadline")
    with misbehaving_upstream() as llm, servers.service({"LLM_BASE_URL": llm.base_url, **TOLD}) as server:
        closed_loop(server.port, sent, connections=8, seconds=3.0)
        for toxic in Toxic:
            llm.toxic = toxic
            _show(toxic.value, open_loop(server.port, sent, rate=RATE, seconds=seconds))
        llm.toxic = Toxic.HANG
        for crowd in CROWDS:
            _show(f"hang, {crowd} at once", closed_loop(server.port, sent, connections=crowd, seconds=seconds))


def _with_deadline(request: bytes) -> bytes:
    return request.replace(b"\r\n", f"\r\nX-Request-Deadline: {json.dumps(DEADLINE_S)}\r\n".encode(), 1)


def _show(name: str, load: Load) -> None:
    late_ms = (max(answer.sent_s for answer in load.answers) - DEADLINE_S) * 1e3
    degraded = sum(answer.degraded for answer in load.answers)
    table.row(name, len(load.answers), len(load.answers) - len(load.of(200)), degraded, f"{late_ms:+.0f}")


if __name__ == "__main__":
    main()
