"""Rates of right and wrong categories, over arrays of codes; a failure's code equals no label, so it is never right. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.columns import Codes, Flags, Numbers
from evals.intervals import Estimate, proportion
from orchestrator.schema import CATEGORIES, SAFETY_INDEX


def rate(flags: Flags) -> Estimate:
    """Return the share of ``flags`` (n,) that are set."""
    return proportion(int(flags.sum()), len(flags))


def accuracy(labels: Codes, predicted: Codes) -> Estimate:
    """Return the share of rows whose predicted category is the label."""
    return rate(predicted == labels)


def safety_recall(labels: Codes, predicted: Codes) -> Estimate:
    """Return the share of safety rows predicted to be safety."""
    return rate(predicted[labels == SAFETY_INDEX] == SAFETY_INDEX)


def safety_precision(labels: Codes, predicted: Codes) -> Estimate:
    """Return the share of rows predicted to be safety that are."""
    return rate(labels[predicted == SAFETY_INDEX] == SAFETY_INDEX)


def safety_capture(labels: Codes, routed: Flags) -> Estimate:
    """Return the share of safety rows labelled safety *or* sent to a person as safety."""
    return rate(routed[labels == SAFETY_INDEX])


def over_flag_rate(labels: Codes, routed: Flags) -> Estimate:
    """Return the share of non-safety rows routed as safety."""
    return rate(routed[labels != SAFETY_INDEX])


def specificity(labels: Codes, routed: Flags) -> Estimate:
    """Return the share of non-safety rows not routed as safety."""
    return rate(~routed[labels != SAFETY_INDEX])


def confusion(labels: Codes, predicted: Codes) -> NDArray[np.int64]:
    """Return counts by true category (rows) and predicted category (columns; the fourth is "no answer"), of shape (3, 4)."""
    k = len(CATEGORIES)
    column = np.where(predicted < 0, k, predicted).astype(np.int64)
    return np.bincount(labels * (k + 1) + column, minlength=k * (k + 1)).reshape(k, k + 1)


def macro_f1(confusion: NDArray[np.int64] | Numbers) -> Numbers:
    """Return the unweighted mean of the three F1 scores of confusion matrices of shape (..., 3, 4); a category never right scores 0."""
    counts = np.asarray(confusion, dtype=np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    either = counts.sum(axis=-1) + counts[..., :-1].sum(axis=-2)
    scores: Numbers = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    return np.asarray(scores.mean(axis=-1))
