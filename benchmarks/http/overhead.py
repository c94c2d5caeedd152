"""What the service adds to the LLM's latency, at 100 requests a second: ``python -m benchmarks.http.overhead``.

Requests come at random times (Poisson); the latency counts from when each was due, the stand-in's own delay is taken off. Beside the
service: the stand-in asked alone (what the load and the loop cost), a constant, and the twenty lines.
"""

from __future__ import annotations

import argparse

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import Load, open_loop, percentiles_ms
from benchmarks.upstream import upstream

RATE = 100
DELAYS_S = (0.0, 0.05, 0.5)
WARM_UP_S = 3.0


def main() -> None:
    """Print added latency by server and delay."""
    parser = argparse.ArgumentParser(description="What is added to the LLM's latency.")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each row")
    seconds = parser.parse_args().seconds
    servers.keep_to_last_core()
    sent = traffic.requests()
    print(f"\nAdded latency in ms at {RATE} requests/s, {seconds:g} s each (targets: p50 3, p99 10)\n")
    table.head("", "LLM takes", "p50", "p99", "answers other than 200", "server's CPU, ms a request", "load's own CPU")
    for delay_s in DELAYS_S:
        with upstream(traffic.codes(), delay_s, traffic.known()) as llm:
            _show("the stand-in alone", delay_s, open_loop(llm.port, sent, rate=RATE, seconds=seconds), "-")
            environment = servers.llm_at(llm.port)
            for name in servers.RIVALS:
                with servers.rival(name, environment) as server:
                    _measure(name, delay_s, server, sent, seconds)
            with servers.service(environment) as server:
                _measure(servers.OURS, delay_s, server, sent, seconds)


def _measure(name: str, delay_s: float, server: servers.Server, sent: list[bytes], seconds: float) -> None:
    open_loop(server.port, sent, rate=RATE, seconds=WARM_UP_S)
    before = server.cpu_s()
    load = open_loop(server.port, sent, rate=RATE, seconds=seconds)
    _show(name, delay_s, load, f"{(server.cpu_s() - before) * 1e3 / len(load.answers):.2f}")


def _show(name: str, delay_s: float, load: Load, cpu: str) -> None:
    waits = 0.0 if "constant" in name else delay_s
    p50, p99 = percentiles_ms(load.answers, less_s=waits)
    others = len(load.answers) - len(load.of(200))
    table.row(name, f"{delay_s * 1e3:g} ms", f"{p50:.1f}", f"{p99:.1f}", others, cpu, f"{load.own_cpu_share:.0%}")


if __name__ == "__main__":
    main()
