"""The two plots of a candidate: a reliability diagram and a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
