"""Three small drawings of each candidate: reliability, risk against coverage, and the price of its safety threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from evals.page.draw import CALIBRATED, FAINT, INK, RAW, SYSTEM, Figure, draw
from evals.reliability import reliability
from evals.scored import Scored

SIDE = 190  # pixels
SHARE = alt.Scale(domain=[0, 1])
TICKS = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%")


def reliability_panel(name: str, short: str, rows: Sequence[Scored]) -> Figure:
    """Return accuracy against confidence in bins of equal mass, raw and calibrated, with the line that a true confidence follows."""
    points = [
        {"of": of, "confidence": x, "accuracy": y, "words": f"{of}: confidence {x:.0%}, accuracy {y:.0%}, {n} messages"}
        for of, calibrated in (("raw", False), ("calibrated", True))
        for x, y, n in reliability(rows, calibrated=calibrated)
    ]
    table = pd.DataFrame(points, columns=["of", "confidence", "accuracy", "words"])
    ideal = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(color=FAINT, strokeDash=[4, 4], aria=False)
    base = alt.Chart(table).encode(
        x=alt.X("confidence:Q", scale=SHARE, axis=TICKS),
        y=alt.Y("accuracy:Q", scale=SHARE, axis=TICKS),
        color=_colours("raw", "calibrated"),
    )
    chart = alt.layer(
        ideal.encode(x=alt.X("confidence:Q", scale=SHARE, axis=TICKS), y=alt.Y("accuracy:Q", scale=SHARE, axis=TICKS)),
        base.mark_line(aria=False, strokeWidth=1.5),
        base.mark_point(filled=True, size=40, opacity=1).encode(shape=_shapes("raw", "calibrated"), description="words:N"),
    )
    return draw(_titled(chart, short), f"Reliability diagram of {short}: accuracy against confidence, raw and calibrated.", f"rel-{name}")


def risk_panel(name: str, short: str, curves: dict[str, Any]) -> Figure:
    """Return the share of wrong answers among the most confident ones, against how many are kept."""
    views = ("raw", "calibrated", "system")
    points = [
        {
            "of": of,
            "coverage": step["coverage"],
            "risk": step["risk"],
            "words": f"{of}: of the {step['coverage']:.0%} most confident, {step['risk']:.0%} wrong",
        }
        for of in views
        for step in curves.get(of, [])
        if step["risk"] is not None
    ]
    base = alt.Chart(pd.DataFrame(points, columns=["of", "coverage", "risk", "words"])).encode(
        x=alt.X("coverage:Q", scale=SHARE, axis=TICKS), y=alt.Y("risk:Q", scale=SHARE, axis=TICKS), color=_colours(*views)
    )
    chart = alt.layer(
        base.mark_line(aria=False, strokeWidth=1.5),
        base.mark_point(filled=True, size=16, opacity=1).encode(shape=_shapes(*views), description="words:N"),
    )
    return draw(_titled(chart, short), f"Risk against coverage of {short}.", f"risk-{name}")


def price_panel(name: str, short: str, price: Sequence[dict[str, Any]], alpha: float) -> Figure | None:
    """Return what each certified bound on missed safety messages costs in over-flags, and the misses it gives; None without a threshold."""
    steps = [step for step in price if step["threshold"]["certified"] and step["over_flag_gate"]["value"] is not None]
    if not steps:
        return None
    points = [
        {
            "of": of,
            "alpha": step["threshold"]["alpha"],
            "share": share["value"],
            "low": share["low"],
            "high": share["high"],
            "words": f"bound {step['threshold']['alpha']:.1%}: {of} {share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]",
        }
        for step in steps
        for of, share in (("over-flagged", step["over_flag_gate"]), ("caught", step["capture_gate"]))
        if share["value"] is not None
    ]
    base = alt.Chart(pd.DataFrame(points)).encode(
        x=alt.X("alpha:Q", title="bound on missed safety messages", axis=alt.Axis(format="%", tickCount=3)),
        color=_colours("over-flagged", "caught"),
    )
    y = alt.Y("share:Q", title="share", scale=SHARE, axis=TICKS)
    chart = alt.layer(
        alt.Chart(pd.DataFrame({"alpha": [alpha]})).mark_rule(color=INK, strokeDash=[2, 3], aria=False).encode(x="alpha:Q"),
        base.mark_rule(aria=False, opacity=0.6).encode(y=alt.Y("low:Q", title="share", scale=SHARE, axis=TICKS), y2="high:Q"),
        base.mark_line(aria=False, strokeWidth=1.5).encode(y=y),
        base.mark_point(filled=True, size=40, opacity=1).encode(y=y, shape=_shapes("over-flagged", "caught"), description="words:N"),
    )
    return draw(
        _titled(chart, short), f"Price of the safety threshold of {short}: over-flags and caught messages by bound.", f"price-{name}"
    )


def _titled(chart: Any, short: str) -> Any:
    return chart.properties(width=SIDE, height=SIDE, title=short)


def _colours(*names: str) -> alt.Color:
    return alt.Color("of:N", scale=alt.Scale(domain=list(names), range=[RAW, CALIBRATED, SYSTEM][: len(names)]), legend=None)


def _shapes(*names: str) -> alt.Shape:
    return alt.Shape("of:N", scale=alt.Scale(domain=list(names), range=["triangle-up", "circle", "square"][: len(names)]), legend=None)
