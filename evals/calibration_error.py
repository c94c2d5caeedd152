"""Calibration errors of a confidence beside what they would be if the confidence were true. Pure.

A calibration error is biased upwards and a bootstrap interval of it does not cover, so it is compared with its distribution under
``y ~ Bernoulli(confidence)`` instead (Vaicenavicius et al., "Evaluating model calibration in classification", AISTATS 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from evals.columns import Flags, Numbers

BINS = 10
DRAWS = 1000
EXACT = 20_000  # beyond so many rows confidences are drawn for in steps of 1e-4, so that the time stops growing
CELLS = 1 << 18  # numbers in one chunk of draws (2 MB): bounds the memory, and the chunk stays in the processor's cache


class Levels(NamedTuple):
    """Rows by confidence: ``confidence`` (g,) rising, the ``mass`` (g,) of rows there, and ``hits`` (..., g), the mass that is right."""

    confidence: Numbers
    mass: Numbers
    hits: Numbers


Error = Callable[[Levels], Numbers]


class Excess(BaseModel):
    """A calibration error, and what a perfectly calibrated model of the same confidences would show.

    ``expected`` is that model's mean, ``high`` its 95 % quantile, ``excess`` what ``value`` is above ``expected``, and ``p`` the
    Monte-Carlo p-value of perfect calibration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    excess: float
    expected: float
    high: float
    p: float
    n: int


def levels(confidence: Numbers, right: Flags, weights: Numbers | None = None) -> Levels:
    """Return the rows by confidence; all arrays are of shape (n,), ``weights`` are 1 unless given."""
    each = np.ones(len(confidence)) if weights is None else weights
    found, level = np.unique(confidence, return_inverse=True)
    mass: Numbers = np.bincount(level, weights=each, minlength=len(found)).astype(np.float64)
    hits: Numbers = np.bincount(level, weights=each * right, minlength=len(found)).astype(np.float64)
    return Levels(found[mass > 0], mass[mass > 0], hits[mass > 0])


def ece(rows: Levels, bins: int = BINS) -> Numbers:
    """Return the expected calibration error over ``bins`` bins of equal mass, of the shape of ``hits`` but the last axis; 0 to 1.

    A level across the edge of two bins is split in proportion, so equal confidences stay together and no order of rows matters.
    Source: Naeini, Cooper and Hauskrecht, AAAI 2015, with bins of equal mass.
    """
    reached = np.append(0.0, np.cumsum(rows.mass))
    gap = np.cumsum(rows.confidence * rows.mass - rows.hits, axis=-1)
    gap = np.concatenate([np.zeros((*gap.shape[:-1], 1)), gap], axis=-1)
    edges = np.linspace(0.0, reached[-1], bins + 1)
    left = np.clip(np.searchsorted(reached, edges, "right") - 1, 0, len(rows.mass) - 1)
    part = (edges - reached[left]) / rows.mass[left]
    at_edges = gap[..., left] * (1 - part) + gap[..., left + 1] * part
    return np.asarray(np.abs(np.diff(at_edges, axis=-1)).sum(axis=-1) / reached[-1])


def expected_calibration_error(confidence: Numbers, right: Flags, weights: Numbers | None = None) -> float | None:
    """Return ECE10 of confidences (n,), weighted where ``weights`` are given; None without rows. Biased upwards at small n."""
    return float(ece(levels(confidence, right, weights))) if len(confidence) else None


def excess(error: Error, confidence: Numbers, right: Flags, *, seed: int, draws: int = DRAWS) -> Excess | None:
    """Return ``error`` of confidences (n,) beside its distribution under ``right ~ Bernoulli(confidence)``; None without rows."""
    if not len(confidence):
        return None
    value = float(error(levels(confidence, right)))
    null = _under_calibration(error, confidence, seed, draws)
    expected, high = float(null.mean()), float(np.quantile(null, 0.95))
    p = (1 + int((null >= value).sum())) / (1 + draws)
    return Excess(value=value, excess=value - expected, expected=expected, high=high, p=p, n=len(confidence))


def _under_calibration(error: Error, confidence: Numbers, seed: int, draws: int) -> Numbers:
    rng = np.random.default_rng(seed)
    exact = len(confidence) <= EXACT
    found, start, size = np.unique(np.sort(confidence if exact else confidence.round(4)), return_index=True, return_counts=True)
    each, mass = np.repeat(found, size), size.astype(np.float64)

    def drawn(count: int) -> Numbers:
        if exact:
            return np.add.reduceat(rng.random((count, len(each))) < each, start, axis=1, dtype=np.float64)
        return rng.binomial(size, found, size=(count, len(found))).astype(np.float64)

    step = max(1, CELLS // (len(each) if exact else len(found)))
    return np.concatenate([error(Levels(found, mass, drawn(min(step, draws - done)))) for done in range(0, draws, step)])
