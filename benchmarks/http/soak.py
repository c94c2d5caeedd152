"""Whether memory stays flat under steady traffic: ``python -m benchmarks.http.soak --minutes 10``."""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import open_loop, percentiles_ms
from benchmarks.upstream import upstream

RATE = 100
LLM_S = 0.05
MINUTE_S = 60.0


def main() -> None:
    """Print each minute, and the slope after the first."""
    parser = argparse.ArgumentParser(description="Whether memory stays flat.")
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    servers.keep_to_last_core()
    sent = traffic.requests()
    with upstream(traffic.codes(), LLM_S, traffic.known()) as llm, servers.service(servers.llm_at(llm.port)) as server:
        print(f"\n{RATE} requests/s for {minutes} minutes, LLM of {LLM_S * 1e3:g} ms\n")
        table.head("minute", "memory, MB", "answers other than 200", "added p50 ms", "added p99 ms")
        held = []
        for minute in range(1, minutes + 1):
            load = open_loop(server.port, sent, rate=RATE, seconds=MINUTE_S, seed=minute)
            held.append(server.resident_mb())
            p50, p99 = percentiles_ms(load.answers, less_s=LLM_S)
            table.row(minute, f"{held[-1]:.1f}", len(load.answers) - len(load.of(200)), f"{p50:.1f}", f"{p99:.1f}")
    if len(held) > 2:
        slope = np.polyfit(np.arange(1, len(held)), held[1:], 1)[0]
        print(f"\nafter the first minute: {slope:+.2f} MB a minute", flush=True)


if __name__ == "__main__":
    main()
