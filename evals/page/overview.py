"""Drawings with a place for every candidate: intervals, gains and losses, the Pareto front, time and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from evals.page.draw import CALIBRATED, FAINT, INK, RAW, SYSTEM, Figure, draw

WHISKERS = (
    ("safety_capture", "safety capture", "more is better"),
    ("safety_recall", "safety recall", "more is better"),
    ("over_flag_rate", "over-flag rate", "less is better"),
    ("accuracy_system", "accuracy", "more is better"),
)
PERCENT = alt.Axis(format="%", tickCount=4)


def whiskers(entries: Sequence[Mapping[str, Any]], short: Mapping[str, str]) -> Figure:
    """Return the main rates of the whole system with their 95 % intervals, a candidate a line."""
    order = [short[entry["candidate"]] for entry in entries]
    parts = []
    for place, (metric, title, better) in enumerate(WHISKERS):
        table = pd.DataFrame(
            [
                {
                    "candidate": short[entry["candidate"]],
                    "who": "champion" if entry["champion"] else "candidate",
                    **{side: entry[metric][side] for side in ("value", "low", "high")},
                    "words": f"{short[entry['candidate']]}: {title} {_interval(entry[metric])}, n = {entry[metric]['n']}",
                }
                for entry in entries
                if entry[metric]["value"] is not None
            ],
            columns=["candidate", "who", "value", "low", "high", "words"],
        )
        y = alt.Y(
            "candidate:N",
            sort=order,
            title=None,
            scale=alt.Scale(domain=order),
            axis=alt.Axis(grid=True) if place == 0 else alt.Axis(labels=False, ticks=False, grid=True),
        )
        colour = alt.Color("who:N", scale=alt.Scale(domain=["champion", "candidate"], range=[SYSTEM, CALIBRATED]), legend=None)
        base = alt.Chart(table).encode(y=y, color=colour)
        chart = alt.layer(
            base.mark_rule(aria=False, strokeWidth=2).encode(
                x=alt.X("low:Q", title=f"{title}: {better}", scale=alt.Scale(zero=False, nice=True, padding=4), axis=PERCENT), x2="high:Q"
            ),
            base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", description="words:N"),
        )
        parts.append(chart.properties(width=200, height=alt.Step(22)))
    return draw(
        alt.hconcat(*parts, spacing=14), "Rates of the whole system with 95 % intervals; the table above has the numbers.", "whiskers"
    )


def gains(verdicts: Mapping[str, Mapping[str, Any]], short: Mapping[str, str]) -> Figure | None:
    """Return how many messages each candidate gains on the champion and loses to it; None without a champion."""
    shown = (("safety_capture", "safety captured"), ("specificity", "others left alone"), ("accuracy", "category right"))
    rows = [
        {
            "candidate": short[name],
            "what": title,
            "change": change,
            "count": sign * len(verdict["paired"][metric][change]),
            "words": f"{short[name]}, {title}: {len(verdict['paired'][metric][change])} {change}",
        }
        for name, verdict in verdicts.items()
        if verdict["paired"]
        for metric, title in shown
        for change, sign in (("gained", 1), ("lost", -1))
    ]
    if not rows:
        return None
    parts = []
    for place, (_, title) in enumerate(shown):
        axis = alt.Axis() if place == 0 else alt.Axis(labels=False, ticks=False)
        parts.append(
            alt.Chart(pd.DataFrame([row for row in rows if row["what"] == title]))
            .mark_bar()
            .encode(
                y=alt.Y("candidate:N", sort=[short[name] for name in verdicts], title=None, axis=axis),
                x=alt.X("count:Q", title=f"{title}: lost (left), gained (right)", axis=alt.Axis(tickCount=5, tickMinStep=1, format="d")),
                color=alt.Color("change:N", scale=alt.Scale(domain=["gained", "lost"], range=[CALIBRATED, RAW]), legend=None),
                description="words:N",
            )
            .properties(width=230, height=alt.Step(20))
        )
    return draw(alt.hconcat(*parts, spacing=14), "Messages that each candidate gains on the champion and loses to it.", "gains")


def pareto(entries: Sequence[Mapping[str, Any]], front: Sequence[str], short: Mapping[str, str]) -> Figure:
    """Return safety capture against over-flagging; who nobody beats in these, cost and latency at once is filled."""
    table = pd.DataFrame(
        {
            "candidate": short[entry["candidate"]],
            "on": "on the front" if entry["candidate"] in front else "beaten",
            "named": entry["champion"] or entry["candidate"] in front,
            "capture": entry["safety_capture"]["value"],
            "over": entry["over_flag_rate"]["value"],
            "words": (
                f"{short[entry['candidate']]}: capture {_interval(entry['safety_capture'])}, "
                f"over-flag {_interval(entry['over_flag_rate'])}, "
                f"{entry['latency_p50_s']:.2f} s, {entry['usd_per_1000']:.2f} USD per 1,000"
            ),
        }
        for entry in entries
        if entry["safety_capture"]["value"] is not None and entry["over_flag_rate"]["value"] is not None
    )
    if table.empty:
        table = pd.DataFrame(columns=["candidate", "on", "named", "capture", "over", "words"])
    labelled = table[table["named"]]  # the rest would cover each other; browsers name them when pointed at
    x = alt.X("over:Q", title="over-flag rate: less is better", scale=alt.Scale(zero=False, padding=30), axis=PERCENT)
    y = alt.Y(
        "capture:Q",
        title="safety capture: more is better",
        scale=alt.Scale(zero=False, padding=16),
        axis=alt.Axis(format=".1%", tickCount=5),
    )
    chart = alt.layer(
        alt.Chart(table)
        .mark_point(size=90, opacity=1, strokeWidth=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color("on:N", scale=alt.Scale(domain=["on the front", "beaten"], range=[CALIBRATED, FAINT]), legend=None),
            fill=alt.Fill("on:N", scale=alt.Scale(domain=["on the front", "beaten"], range=[CALIBRATED, "transparent"]), legend=None),
            description="words:N",
        ),
        alt.Chart(labelled).mark_text(align="center", dy=-12, fontSize=10, color=INK, aria=False).encode(x=x, y=y, text="candidate:N"),
    ).properties(width=620, height=300)
    return draw(chart, "Safety capture against over-flag rate of every candidate; the Pareto front is filled.", "pareto")


def times(entries: Sequence[Mapping[str, Any]], short: Mapping[str, str]) -> Figure:
    """Return the time for a message, median to 95th percentile, and the price of a thousand."""
    order = [short[entry["candidate"]] for entry in entries]
    table = pd.DataFrame(
        {
            "candidate": short[entry["candidate"]],
            "p50": entry["latency_p50_s"],
            "p95": entry["latency_p95_s"],
            "usd": entry["usd_per_1000"],
            "words": (
                f"{short[entry['candidate']]}: median {entry['latency_p50_s']:.2f} s, 95 % within {entry['latency_p95_s']:.2f} s, "
                f"{entry['usd_per_1000']:.2f} USD and {entry['input_tokens'] + entry['output_tokens']:,} tokens in all"
            ),
        }
        for entry in entries
    )
    base = alt.Chart(table).encode(y=alt.Y("candidate:N", sort=order, title=None))
    seconds = alt.layer(
        base.mark_rule(aria=False, strokeWidth=3, color=RAW, opacity=0.5).encode(
            x=alt.X("p50:Q", title="seconds a message: median to 95 %"), x2="p95:Q"
        ),
        base.mark_point(filled=True, size=60, color=CALIBRATED, opacity=1).encode(x="p50:Q", description="words:N"),
    ).properties(width=330, height=alt.Step(22))
    if not table["usd"].any():
        return draw(seconds, "Time for a message of every candidate; none costs money.", "times")
    dollars = (
        base.mark_bar(color=CALIBRATED)
        .encode(
            x=alt.X("usd:Q", title="USD for 1,000 messages"),
            y=alt.Y("candidate:N", sort=order, title=None, axis=alt.Axis(labels=False, ticks=False)),
            description="words:N",
        )
        .properties(width=220, height=alt.Step(22))
    )
    return draw(alt.hconcat(seconds, dollars, spacing=14), "Time for a message and cost of every candidate.", "times")


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "unknown"
    return f"{estimate['value']:.1%} [{estimate['low']:.1%}, {estimate['high']:.1%}]"
