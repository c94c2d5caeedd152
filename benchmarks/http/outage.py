"""What is answered while the LLM is down altogether: ``python -m benchmarks.http.outage``.

Refused: nobody listens at its address. Hangs: it takes connections and never answers. First until the breaker opens, then with the
breaker open; in both every request that is let in must get 200, marked ``degraded``. While it hangs and the breaker is closed yet, more
come than there are places for: those are shed with 503.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import Load, open_loop, percentiles_ms
from benchmarks.upstream import upstream

RATE = 100
LLM_TIMEOUT_S = 2  # of the service in this benchmark: until the breaker opens, a hanging LLM is waited for as long
OPENING_S = 10.0
HANGS_S = 3_600.0


def main() -> None:
    """Print shares and latencies."""
    parser = argparse.ArgumentParser(description="What is answered while the LLM is down.")
    parser.add_argument("--seconds", type=float, default=30.0, help="with the breaker open")
    seconds = parser.parse_args().seconds
    servers.keep_to_last_core()
    sent = traffic.requests()
    print(f"\nLLM down, {RATE} requests/s (targets: 100 % are 200 and degraded; p99 20 ms with the breaker open)\n")
    table.head("LLM", "", "shed", "of the others 200 and degraded", "p50 ms", "p99 ms", "most ms")
    for name in ("refused", "hangs"):
        with _down(name) as environment, servers.service({**environment, "LLM_TIMEOUT_SECONDS": str(LLM_TIMEOUT_S)}) as server:
            _show(name, "until it opens", open_loop(server.port, sent, rate=RATE, seconds=OPENING_S))
            _show(name, "breaker open", open_loop(server.port, sent, rate=RATE, seconds=seconds))


@contextmanager
def _down(name: str) -> Iterator[dict[str, str]]:
    if name == "refused":
        yield servers.llm_at(servers.free_port())
    else:
        with upstream(traffic.codes(), HANGS_S) as llm:
            yield servers.llm_at(llm.port)


def _show(name: str, when: str, load: Load) -> None:
    shed = load.of(503)
    let_in = [answer for answer in load.answers if answer.status != 503]
    p50, p99 = percentiles_ms(let_in)
    degraded = sum(answer.status == 200 and answer.degraded for answer in let_in)
    most = max(answer.latency_s for answer in let_in) * 1e3
    table.row(name, when, len(shed), f"{degraded / len(let_in):.2%}", f"{p50:.1f}", f"{p99:.1f}", f"{most:.0f}")


if __name__ == "__main__":
    main()
