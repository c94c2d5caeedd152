"""Accuracy against confidence in bins of equal mass: what a reliability diagram shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from evals.columns import Columns, top
from evals.scored import Scored

BINS = 8


def reliability(rows: Iterable[Scored], *, calibrated: bool) -> list[tuple[float, float, int]]:
    """Return (mean confidence, accuracy, count) per bin, lowest confidence first. Failures have no confidence."""
    columns = Columns.of(rows)
    columns = columns.where(~columns.failed)
    probabilities = columns.calibrated if calibrated else columns.raw
    confidence, right = probabilities.max(axis=1), top(probabilities) == columns.label
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), BINS) if len(part)]
    return [(float(confidence[part].mean()), float(right[part].mean()), len(part)) for part in parts]
