"""Fit the safety threshold by exact learn-then-test, and tell its price. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from evals.intervals import Estimate, proportion
from evals.scored import Scored
from orchestrator.policy import Thresholds, decide
from orchestrator.schema import Category, Decision, Record

CEILING = 0.5  # a message more likely safety than not is safety, whatever the threshold
ALPHAS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.30)


class Threshold(Record):
    """A threshold on P(safety) with what it certifies: P(false negative rate > alpha) <= delta, or nothing."""

    value: float
    alpha: float
    delta: float
    items: int
    allowed: int  # misses among the items that the certificate can bear
    certified: bool


class Price(Record):
    """What a bound on the false negative rate costs: how many other messages are flagged with them."""

    threshold: Threshold
    over_flag_calibration: Estimate  # where the threshold may be chosen
    over_flag_gate: Estimate  # as measured
    capture_gate: Estimate


def safety_threshold(scores: NDArray[np.float64], *, alpha: float, delta: float) -> Threshold:
    """Return the highest threshold t with P(false negative rate > alpha) <= delta.

    ``scores`` are P(safety) of held-out safety items, shape (n,); an item that another rule catches anyway has the score
    ``inf``. With k = max{k : BinomCDF(k; n, alpha) <= delta}, t is the (k+1)-th smallest score, at most 0.5.
    With too few items for any k the lowest score is taken and nothing is certified.

    Source: Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test", 2021; fixed-sequence testing with
    exact binomial p-values.
    """
    n = len(scores)
    if n == 0:
        return Threshold(value=CEILING, alpha=alpha, delta=delta, items=0, allowed=0, certified=False)
    allowed = int(np.searchsorted(binom.cdf(np.arange(n), n, alpha), delta, side="right")) - 1
    value = float(np.sort(scores)[max(allowed, 0)])
    return Threshold(value=min(value, CEILING), alpha=alpha, delta=delta, items=n, allowed=max(allowed, 0), certified=allowed >= 0)


def price_curve(
    scores: NDArray[np.float64], thresholds: Thresholds, calibration: Sequence[Scored], gate: Sequence[Scored], *, delta: float
) -> list[Price]:
    """Return, for false negative rates from 1 % to 30 %, the threshold that certifies each and what is flagged with it.

    ``scores`` are those that the threshold in ``thresholds`` was fitted on; the two sequences are decided anew at each.
    """
    curve = []
    for alpha in ALPHAS:
        threshold = safety_threshold(scores, alpha=alpha, delta=delta)
        at = thresholds.model_copy(update={"safety": threshold.value})
        curve.append(
            Price(
                threshold=threshold,
                over_flag_calibration=_routed(calibration, at, safety=False),
                over_flag_gate=_routed(gate, at, safety=False),
                capture_gate=_routed(gate, at, safety=True),
            )
        )
    return curve


def decided_at(row: Scored, thresholds: Thresholds) -> Decision:
    """Return what would be decided of a row with other thresholds."""
    judged = row.classification
    return decide(judged.probabilities, thresholds, red_flags=judged.red_flags, local_safety=judged.local_safety, degraded=judged.degraded)


def _routed(rows: Sequence[Scored], thresholds: Thresholds, *, safety: bool) -> Estimate:
    routed = [decided_at(row, thresholds).routed_as_safety for row in rows if (row.label == Category.SAFETY_COMPLIANCE) == safety]
    return proportion(sum(routed), len(routed))
