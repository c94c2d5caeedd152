"""The plots of a candidate: reliability diagram, confusion matrix, risk-coverage curve, and the price of its safety threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.reliability import reliability
from evals.scored import Scored
from orchestrator.schema import CATEGORIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, RAW, CALIBRATED = "#22303c", "#c9d1d9", "#d08770", "#2e7d6b"


def reliability_figure(candidate: str, rows: Sequence[Scored]) -> Figure:
    """Return accuracy against confidence in bins of equal mass, before and after calibration."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.5, zorder=1)
    for name, colour, calibrated in (("raw", RAW, False), ("calibrated", CALIBRATED, True)):
        bins = reliability(rows, calibrated=calibrated)
        axes.plot([x for x, _, _ in bins], [y for _, y, _ in bins], marker="o", color=colour, label=name, zorder=2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
    axes.set_title(f"{candidate}\nreliability on {len(rows)} gate messages", fontsize=10, color=INK)
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def confusion_figure(candidate: str, table: list[list[int]]) -> Figure:
    """Return the confusion matrix of the whole system with its counts written in."""
    from matplotlib.figure import Figure

    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1, aspect="auto")
    names = [category.value for category in CATEGORIES]
    axes.set_xticks(range(len(names) + 1), [*names, "no answer"], fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for (i, j), count in np.ndenumerate(counts):
        axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.55 else INK)
    axes.set(xlabel="decided by the whole system", ylabel="label")
    axes.set_title(candidate, fontsize=10, color=INK)
    return figure


def risk_coverage_figure(candidate: str, curves: dict[str, list[dict[str, float]]]) -> Figure:
    """Return the share of wrong answers among those accepted, against the share of messages accepted, the most confident first.

    ``curves`` are those of ``metrics.json``: of the raw and the calibrated model, and of the whole system.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, colour, style, label in (
        ("raw", RAW, "-", "raw model"),
        ("calibrated", CALIBRATED, "-", "calibrated"),
        ("system", INK, "--", "whole system"),  # dashed: it mostly lies on the calibrated one
    ):
        points = [(point["coverage"], point["risk"]) for point in curves[name]]
        axes.plot([x for x, _ in points], [y for _, y in points], linestyle=style, color=colour, label=label)
    axes.set(xlim=(0, 1.02), ylim=(0, 1), xlabel="accepted, the most confident first", ylabel="wrong among the accepted")
    axes.set_title(f"{candidate}\nrisk and coverage on the gate messages", fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def price_figure(candidate: str, price: Sequence[dict[str, Any]], alpha: float) -> Figure:
    """Return the over-flag rate that each bound on the false negative rate costs, the bound in force marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    certified = [step for step in price if step["threshold"]["certified"]]
    for name, colour, label in (
        ("over_flag_gate", CALIBRATED, "gate, as measured"),
        ("over_flag_calibration", RAW, "calibration, out of fold"),
    ):
        points = [(step["threshold"]["alpha"], step[name]) for step in certified if step[name]["value"] is not None]
        axes.plot([x for x, _ in points], [y["value"] for _, y in points], marker="o", color=colour, label=label)
        axes.fill_between([x for x, _ in points], [y["low"] for _, y in points], [y["high"] for _, y in points], color=colour, alpha=0.12)
    axes.axvline(alpha, color=FAINT, linewidth=1.5, zorder=0)
    axes.annotate("in force", (alpha, 0.02), xytext=(4, 0), textcoords="offset points", fontsize=8, color=INK)
    axes.set(xlabel="bound on the false negative rate of safety", ylabel="other messages routed as safety", ylim=(0, 1))
    axes.set_title(f"{candidate}\nthe price of missing fewer", fontsize=10, color=INK)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)  # the curves may be anywhere
    axes.spines[["top", "right"]].set_visible(False)
    return figure
