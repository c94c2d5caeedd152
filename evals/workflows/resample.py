"""Percentile bootstrap of the F1 measures of intents and slots, messages resampled whole (Efron and Tibshirani, 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evals.bootstrap import REPLICATES
from evals.intervals import CONFIDENCE, Estimate

Numbers = NDArray[np.float64]


def macro_f1_estimate(labels: Sequence[str], found: Sequence[str], seed: int) -> Estimate:
    """Return the mean F1 of the labels that occur, with its interval."""
    names = sorted(set(labels))
    label, other = np.array(labels), np.array(found)
    of = np.stack([label == name for name in names], axis=1).astype(float)  # (messages, names)
    said = np.stack([other == name for name in names], axis=1).astype(float)

    def statistic(weights: Numbers) -> Numbers:
        both, sizes = weights @ (of * said), weights @ of + weights @ said
        f1 = np.divide(2 * both, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        counted = weights @ of > 0  # a resample may lack a label
        return np.asarray((f1 * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))

    return _estimate(statistic, len(labels), seed)


def f1_estimate(scores: Sequence[Sequence[int]], seed: int) -> Estimate:
    """Return the F1 of precision and recall with its interval; ``scores`` are found, found rightly, labelled, reached by message."""
    table = np.asarray(scores, dtype=np.float64).reshape(-1, 4)

    def statistic(weights: Numbers) -> Numbers:
        found, rightly, labelled, reached = (weights @ table).T
        precision = np.divide(rightly, found, out=np.zeros_like(found), where=found > 0)
        recall = np.divide(reached, labelled, out=np.zeros_like(found), where=labelled > 0)
        both = precision + recall
        return np.asarray(np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0))

    if table[:, [0, 2]].sum() == 0:
        return Estimate(value=None, low=0.0, high=1.0, n=0)
    return _estimate(statistic, len(table), seed)


def _estimate(statistic: Callable[[Numbers], Numbers], n: int, seed: int) -> Estimate:
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=REPLICATES).astype(np.float64)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistic(draws), [tail, 1 - tail])
    return Estimate(value=float(statistic(np.ones((1, n)))[0]), low=float(low), high=float(high), n=n)
