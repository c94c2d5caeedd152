"""Two tables drawn as colours: every slice by candidate, and every pair of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from evals.page.draw import Figure, draw
from evals.pairs import COUNTS

SLICE_METRICS = {"safety_capture": "safety capture", "over_flag_rate": "over-flag rate", "accuracy": "accuracy"}
PAIR_METRICS = {
    "accuracy": "accuracy",
    "safety_capture": "safety capture",
    "specificity": "specificity",
    "brier": "Brier score",
    "nll": "NLL",
}
FEW = 10  # rows; of fewer a share says next to nothing
LIGHT_INK, DARK_INK = "#ffffff", "#1b1b1b"  # on the cells' own colours, which are the same in light and dark
LIGHT_FROM = 0.55  # of viridis' way from dark to light
CELL = ["row", "column", "value", "text", "ink", "words"]


def slice_map(metric: str, slices: Mapping[str, Mapping[str, Any]], short: Mapping[str, str]) -> Figure:
    """Return a rate of the whole system by slice (rows) and candidate (columns); slices of few rows are left out."""
    shares = [
        (facet, value, name, found[metric])
        for name, facets in slices.items()
        for facet, values in facets.items()
        for value, found in values.items()
        if len(values) > 1 and found[metric]["value"] is not None and found[metric]["n"] >= FEW
    ]
    low = min((rate["value"] for *_, rate in shares), default=0.0)
    high = max((rate["value"] for *_, rate in shares), default=1.0)
    upwards = metric != "over_flag_rate"  # more is better, and the better a cell, the lighter it is
    cells = []
    for facet, value, name, rate in shares:
        label = f"{facet}: {value.replace('_', ' ')} ({rate['n']})"
        place = (rate["value"] - low) / max(high - low, 0.01)
        cells.append(
            {
                "row": label,
                "column": short[name],
                "value": rate["value"],
                "text": f"{100 * rate['value']:.0f}",
                "ink": DARK_INK if (place if upwards else 1 - place) > LIGHT_FROM else LIGHT_INK,
                "words": f"{short[name]}, {label}: {rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]",
            }
        )
    table = pd.DataFrame(cells, columns=CELL)
    scale = alt.Scale(scheme="viridis", domain=[low, high], reverse=not upwards)
    words = f"{SLICE_METRICS[metric]} in per cent, by slice and candidate"
    return _grid(table, [*dict.fromkeys(table["row"])], [short[name] for name in slices], scale, name=f"slices-{metric}", words=words)


def pair_map(metric: str, pairs: Sequence[Mapping[str, Any]], short: Mapping[str, str]) -> Figure:
    """Return row less column, coloured where the difference holds after correction for all pairs: blue is better, red is worse."""
    sign = 1 if metric in COUNTS else -1  # of losses less is better
    cells = []
    for pair in pairs:
        one = pair[metric]
        holds = one["said"] != "no detectable difference"
        for row, column, turn in ((pair["candidate"], pair["against"], 1), (pair["against"], pair["candidate"], -1)):
            low, high = sorted((turn * one["low"], turn * one["high"]))
            gap = turn * one["difference"]
            cells.append(
                {
                    "row": short[row],
                    "column": short[column],
                    "value": sign * gap if holds else 0.0,
                    "text": f"{gap:+.2f}" if holds else "·",
                    "ink": DARK_INK,
                    "words": f"{short[row]} less {short[column]}: {gap:+.3f} [{low:+.3f}, {high:+.3f}], corrected p {one['p_holm']:.2g}",
                }
            )
    table = pd.DataFrame(cells, columns=CELL)
    most = 1.6 * max(table["value"].abs().max() if len(table) else 0.0, 0.01)  # beyond the largest, so that dark ink reads on all
    names = [*dict.fromkeys(short[name] for pair in pairs for name in (pair["candidate"], pair["against"]))]
    words = f"Difference in {PAIR_METRICS[metric]}, row less column, where one is detectable"
    return _grid(table, names, names, alt.Scale(scheme="redblue", domain=[-most, most]), name=f"pairs-{metric}", words=words)


def _grid(table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], scale: alt.Scale, *, name: str, words: str) -> Figure:
    base = alt.Chart(table).encode(
        x=alt.X("column:N", sort=list(columns), title=None, axis=alt.Axis(orient="top", labelAngle=-40, domain=False, ticks=False)),
        y=alt.Y("row:N", sort=list(rows), title=None, axis=alt.Axis(domain=False, ticks=False)),
    )
    chart = alt.layer(
        base.mark_rect(stroke="var(--page)", strokeWidth=1, aria=False).encode(color=alt.Color("value:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=10).encode(text="text:N", color=alt.Color("ink:N", scale=None), description="words:N"),
    )
    chart = chart.resolve_scale(color="independent").properties(width=alt.Step(46), height=alt.Step(20))
    return draw(chart, words, name)
