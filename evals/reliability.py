"""Accuracy against confidence in bins of equal mass: what a reliability diagram shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals import metrics
from evals.scored import Scored

BINS = 8


def reliability(rows: Sequence[Scored], *, calibrated: bool) -> list[tuple[float, float, int]]:
    """Return (mean confidence, accuracy, count) per bin, lowest confidence first. Failures have no confidence."""
    answered = [row for row in rows if row.classification.failure is None]
    if not answered:
        return []
    pick = (r.classification.probabilities if calibrated else r.classification.raw_probabilities for r in answered)
    probabilities = metrics.matrix(pick)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == metrics.label_indices(answered)
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), BINS) if len(part)]
    return [(float(confidence[part].mean()), float(right[part].mean()), len(part)) for part in parts]
