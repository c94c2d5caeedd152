"""What ten times the capacity does to the service: ``python -m benchmarks.http.overload``.

First the peak: the most requests a second that get 200 with as many clients as there are places. Then ten times as many come, whether
they are answered or not. Goodput is what gets 200; the rest must be refused with 503, at once.
"""

from __future__ import annotations

import argparse

from benchmarks.http import servers, table, traffic
from benchmarks.http.load import LOST, Load, closed_loop, open_loop, percentiles_ms
from benchmarks.upstream import upstream

PLACES = 100  # the service's default
LLM_S = (0.5, 0.05)  # an LLM that is the bottleneck, and one so fast that this service's processor is
FACTORS = (1, 2, 5, 10)
WARM_UP_S = 3.0
AT_ONCE_S = 0.01


def main() -> None:
    """Print goodput and latencies by how many times the capacity comes."""
    parser = argparse.ArgumentParser(description="What overload does.")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    seconds = parser.parse_args().seconds
    servers.keep_to_last_core()
    sent = traffic.requests()
    for llm_s in LLM_S:
        _measure(llm_s, sent, seconds)


def _measure(llm_s: float, sent: list[bytes], seconds: float) -> None:
    with upstream(traffic.codes(), llm_s, traffic.known()) as llm, servers.service(servers.llm_at(llm.port)) as server:
        closed_loop(server.port, sent, connections=PLACES, seconds=WARM_UP_S)
        peak = closed_loop(server.port, sent, connections=PLACES, seconds=seconds).rate(200)
        print(f"\nOverload, LLM of {llm_s * 1e3:g} ms, {PLACES} places (targets: goodput 90 % of the peak, 503 in 10 ms)")
        print(f"Peak: {peak:.0f} answers 200 a second\n")
        times = [*(f"{status}: {percentile} ms" for status in (200, 503) for percentile in ("p50", "p99")), "503 within 10 ms"]
        table.head("times the peak", "come, a second", "goodput", "503", "lost", "others", *times, "load's own CPU")
        for factor in FACTORS:
            load = open_loop(server.port, sent, rate=factor * peak, seconds=seconds)
            (good50, good99), (shed50, shed99) = percentiles_ms(load.of(200)), percentiles_ms(load.of(503))
            others = len(load.answers) - len(load.of(200, 503, LOST))
            table.row(
                factor, f"{factor * peak:.0f}", f"{load.rate(200) / peak:.0%}", f"{len(load.of(503)) / len(load.answers):.0%}",
                len(load.of(LOST)), others, f"{good50:.0f}", f"{good99:.0f}", f"{shed50:.1f}", f"{shed99:.1f}", _at_once(load),
                f"{load.own_cpu_share:.0%}",
            )  # fmt: skip


def _at_once(load: Load) -> str:
    refused = load.of(503)
    return f"{sum(answer.latency_s <= AT_ONCE_S for answer in refused) / len(refused):.0%}" if refused else "-"


if __name__ == "__main__":
    main()
