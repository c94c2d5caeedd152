"""The two isotonic regressions of an inductive Venn-Abers predictor, for every place a new score can fall. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.calibration import Steps


class _Block(NamedTuple):
    """Neighbouring scores with one fitted value, linked to the block next to it on the far side."""

    total: float
    weight: float
    next: _Block | None

    @property
    def mean(self) -> float:
        return self.total / self.weight


def venn_abers_steps(scores: NDArray[np.float64], events: NDArray[np.float64]) -> Steps:
    """Return p0 and p1 as step functions of a new score; ``scores`` and 0/1 ``events`` have shape (n,).

    ``p0`` and ``p1`` are the values at the new score of the isotonic regressions on the sample with the new score added as
    a 0 and as a 1. Pooling adjacent violators gives the same blocks in any order, so those of every prefix and suffix are
    kept as linked lists and only the new score is pooled with its neighbours: near-linear time instead of n regressions.

    Source: Vovk, Petej and Fedorova, NeurIPS 2015; pooling: Ayer et al., 1955.
    """
    distinct, group = np.unique(scores, return_inverse=True)
    totals: NDArray[np.float64] = np.bincount(group, weights=events).astype(np.float64)
    weights = np.bincount(group).astype(np.float64)
    left = _prefixes(totals, weights)
    right = _prefixes((weights - totals)[::-1], weights[::-1])[::-1]  # mirrored: a 1 from the right is a 0 from the left
    values: list[tuple[float, float]] = []  # (p0, p1) below the first score, at it, between it and the second, at that, ...
    for place in range(len(distinct) + 1):
        values.append(_both(0.0, 0.0, left[place], right[place]))
        if place < len(distinct):  # a new score equal to an old one is tied with it
            values.append(_both(float(totals[place]), float(weights[place]), left[place], right[place + 1]))
    return _shortened(distinct, values)


def _both(total: float, weight: float, left: _Block | None, right: _Block | None) -> tuple[float, float]:
    """Return the fitted values of a new 0 and of a new 1 that joins scores with this total and weight."""
    return _pooled(total, weight + 1.0, left, right), _pooled(total + 1.0, weight + 1.0, left, right)


def _prefixes(totals: NDArray[np.float64], weights: NDArray[np.float64]) -> list[_Block | None]:
    """Return the isotonic blocks of every prefix, each as its last block."""
    heads: list[_Block | None] = [None]
    for total, weight in zip(totals.tolist(), weights.tolist(), strict=True):
        block = _Block(total, weight, heads[-1])
        while block.next is not None and block.next.mean >= block.mean:
            block = _Block(block.total + block.next.total, block.weight + block.next.weight, block.next.next)
        heads.append(block)
    return heads


def _pooled(total: float, weight: float, left: _Block | None, right: _Block | None) -> float:
    """Return the fitted value of a block between two lists of blocks; those on the right hold mirrored totals."""
    while True:
        if left is not None and left.mean >= total / weight:
            total, weight, left = total + left.total, weight + left.weight, left.next
        elif right is not None and 1.0 - right.mean <= total / weight:
            total, weight, right = total + right.weight - right.total, weight + right.weight, right.next
        else:
            return total / weight


def _shortened(scores: NDArray[np.float64], values: Sequence[tuple[float, float]]) -> Steps:
    """Leave out the scores at which neither function steps."""
    kept = [i for i in range(len(scores)) if len(set(values[2 * i : 2 * i + 3])) > 1]
    places = [0, *(place for i in kept for place in (2 * i + 1, 2 * i + 2))]
    return Steps(
        scores=tuple(float(scores[i]) for i in kept),
        p0=tuple(values[place][0] for place in places),
        p1=tuple(values[place][1] for place in places),
    )
