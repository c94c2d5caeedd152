"""Intervals and tests on proportions, alone and paired. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import brentq
from scipy.stats import beta, binom, norm

CONFIDENCE = 0.95


class Estimate(BaseModel):
    """A number with its 95 % interval and the number of items behind it; None where there are no items."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float | None
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Estimate:
    """Return successes / n with the two-sided 95 % Clopper-Pearson interval (1934); all is open for n = 0."""
    if n == 0:
        return Estimate(value=None, low=0.0, high=1.0, n=0)
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return Estimate(value=successes / n, low=low, high=high, n=n)


def proportions(successes: Sequence[int], n: Sequence[int]) -> list[Estimate]:
    """Return ``proportion`` of each pair, for many at once in the time of a few."""
    k, of = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    tail = (1 - CONFIDENCE) / 2
    # The shapes of the two ends, 0 and n successes, are no distribution: they are given one and their bound is put in its place.
    low = np.where(k == 0, 0.0, beta.ppf(tail, np.maximum(k, 1), of - k + 1))
    high = np.where(k == of, 1.0, beta.ppf(1 - tail, k + 1, np.maximum(of - k, 1)))
    return [
        Estimate(value=float(a / b) if b else None, low=float(lower), high=float(upper), n=int(b))
        for a, b, lower, upper in zip(k, of, low, high, strict=True)
    ]


def lower_bound(successes: int, n: int) -> float:
    """Return the one-sided 95 % Clopper-Pearson lower bound of a proportion; 0 for n = 0."""
    return 0.0 if n == 0 or successes == 0 else float(beta.ppf(1 - CONFIDENCE, successes, n - successes + 1))


def mcnemar_worse(gained: int, lost: int) -> float:
    """Return the one-sided exact p-value of "the candidate is worse": P(X >= lost), X ~ Bin(gained + lost, 1/2).

    ``lost`` counts items the champion has right and the candidate wrong, ``gained`` the reverse.
    Source: McNemar, 1947, in its exact conditional form.
    """
    return float(binom.sf(lost - 1, gained + lost, 0.5))


def tango_lower(gained: int, lost: int, n: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided lower score bound of (gained - lost) / n, the paired difference of proportions.

    Source: Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, 1998.
    """
    if n == 0:
        return -1.0
    z = float(norm.ppf(confidence))
    estimate = (gained - lost) / n

    def excess(difference: float) -> float:
        return _tango_statistic(gained, lost, n, difference) - z

    lowest = -1.0 + 1e-12
    if excess(lowest) <= 0:
        return -1.0
    return float(brentq(excess, lowest, estimate, xtol=1e-10)) if excess(estimate) < 0 else estimate


def _tango_statistic(gained: int, lost: int, n: int, difference: float) -> float:
    """Return the score statistic of the null hypothesis that the difference is ``difference``."""
    a = 2.0 * n
    b = -gained - lost + (2.0 * n - gained + lost) * difference
    c = -lost * difference * (1.0 - difference)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # constrained estimate of P(lost)
    variance = n * (2 * q + difference * (1 - difference))
    distance = gained - lost - n * difference
    if variance <= 0:
        return math.inf if distance > 0 else 0.0
    return distance / math.sqrt(variance)
