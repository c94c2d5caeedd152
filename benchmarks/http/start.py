"""How long the service takes until it is ready, and what memory it holds: ``python -m benchmarks.http.start``.

Without the embedded model (the LLM is elsewhere). On a new database, whose schema is made, and on one that is there; the median of five.
Memory after the start on one that is there, and after 10,000 requests. With ``--python`` on other packages than the developers': some of
theirs, which the image does not have, are imported by others where they are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from statistics import median

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import closed_loop
from benchmarks.upstream import upstream

STARTS = 5
REQUESTS = 10_000
CLIENTS, SECONDS = 16, 5.0


def main() -> None:
    """Print seconds and megabytes."""
    parser = argparse.ArgumentParser(description="Seconds until the service is ready, and its memory.")
    parser.add_argument("--python", default=sys.executable, help="the interpreter, such as bin/python of what docker/install.sh makes")
    python = parser.parse_args().python
    servers.keep_to_last_core()
    with upstream(traffic.codes(), 0.0, traffic.known()) as llm:
        environment = servers.llm_at(llm.port)
        print(f"\nStart without the embedded model, median of {STARTS} (targets: 2 s, 150 MB)\n")
        table.head("", "figure")
        table.row("ready, on a new database", _starts(environment, None, python))
        with tempfile.TemporaryDirectory() as data:
            with servers.service(environment, data=data, python=python):
                pass
            table.row("ready, on one that is there", _starts(environment, data, python))
            with servers.service(environment, data=data, python=python) as server:
                table.row("memory after the start", _memory(server))
                sent, answered = traffic.requests(), 0
                while answered < REQUESTS:
                    answered += len(closed_loop(server.port, sent, connections=CLIENTS, seconds=SECONDS).of(200))
                table.row(f"memory after {answered:,} requests", _memory(server))


def _starts(environment: dict[str, str], data: str | None, python: str) -> str:
    took = []
    for _ in range(STARTS):
        with servers.service(environment, data=data, python=python) as server:
            took.append(server.ready_s)
    return f"{median(took):.2f} s ({min(took):.2f} to {max(took):.2f})"


def _memory(server: servers.Server) -> str:
    return f"{server.resident_mb():.0f} MB, {server.resident_mb('RssAnon'):.0f} MB of them its own"


if __name__ == "__main__":
    main()
