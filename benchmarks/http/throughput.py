"""Requests a second on one core, with an LLM that answers at once: ``python -m benchmarks.http.throughput``.

So many clients each wait for their answer before they send the next request. Beside the service: a constant, and the twenty lines.
"""

from __future__ import annotations

import argparse

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import closed_loop, percentiles_ms
from benchmarks.upstream import upstream

CLIENTS = (1, 8, 64)
WARM_UP_S = 3.0


def main() -> None:
    """Print the rate by server and number of clients."""
    parser = argparse.ArgumentParser(description="Requests a second on one core.")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    seconds = parser.parse_args().seconds
    servers.keep_to_last_core()
    sent = traffic.requests()
    print(f"\nRequests a second on one core, LLM of 0 ms, {seconds:g} s each (target: 500)\n")
    table.head("", "clients", "answered 200, a second", "p50 ms", "p99 ms", "server's CPU, ms a request", "memory, MB", "load's own CPU")
    with upstream(traffic.codes(), 0.0, traffic.known()) as llm:
        environment = servers.llm_at(llm.port)
        for name in servers.RIVALS:
            with servers.rival(name, environment) as server:
                _measure(name, server, sent, seconds)
        with servers.service(environment) as server:
            _measure(servers.OURS, server, sent, seconds)


def _measure(name: str, server: servers.Server, sent: list[bytes], seconds: float) -> None:
    closed_loop(server.port, sent, connections=CLIENTS[-1], seconds=WARM_UP_S)
    for clients in CLIENTS:
        before = server.cpu_s()
        load = closed_loop(server.port, sent, connections=clients, seconds=seconds)
        p50, p99 = percentiles_ms(load.of(200))
        cpu = f"{(server.cpu_s() - before) * 1e3 / len(load.answers):.2f}"
        rate = f"{load.rate(200):.0f}"
        table.row(name, clients, rate, f"{p50:.1f}", f"{p99:.1f}", cpu, f"{server.resident_mb():.0f}", f"{load.own_cpu_share:.0%}")


if __name__ == "__main__":
    main()
