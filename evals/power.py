"""What the gate can tell apart at the present sample sizes, computed exactly from its own rules. Pure.

A pair of candidates differs on n items like draws from a multinomial: gained (only the candidate is right), lost (only
the champion is), both wrong, both right. Every outcome that is not vanishingly rare is put to the gate's own tests.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom, multinomial

from evals.gate import SIGNIFICANT
from evals.intervals import lower_bound, mcnemar_worse, tango_lower
from evals.workspace import GateParams

RARE = 1e-9  # outcomes less likely than this are left out; together they are far below what is printed
POWER = 0.80  # a difference is detectable when it is found this often
LOSSES = (0.0, 0.01, 0.02, 0.03, 0.05)


class Setting(NamedTuple):
    """What is assumed of a comparison: sizes, the champion's miss rate, and how often two candidates disagree."""

    safety: int  # safety rows
    others: int  # rows of the other labels
    misses: float  # share of safety rows that the champion misses
    disagreement: float  # share of safety rows on which one of the two is right alone, when both are equally good
    other_disagreement: float  # the same for specificity on the others


class Chances(NamedTuple):
    """The chance of each verdict; they add up to 1."""

    passed: float
    failed: float
    inconclusive: float


def verdict_chances(setting: Setting, loss: float, params: GateParams) -> Chances:
    """Return the chance of each verdict on a candidate whose safety capture is truly ``loss`` (a proportion) lower.

    Its specificity is the champion's, so that the check on it fails by accident alone. Critical items and failures are
    taken to be in order; a gate that stumbles over those is not a question of sample size.
    """
    gained, lost, both_wrong = _cells(setting.misses, setting.disagreement, loss)
    passed = failed = 0.0
    for count, chance in _outcomes(setting.safety, (gained, lost, both_wrong)):
        verdict = _verdict(*count, setting.safety, params)
        passed += chance * (verdict == "PASS")
        failed += chance * (verdict == "FAIL")
    spared = 1.0 - _false_alarm(setting.others, setting.other_disagreement)
    inconclusive = 1.0 - passed - failed
    return Chances(passed * spared, 1.0 - (passed + inconclusive) * spared, inconclusive * spared)


def detectable_loss(n: int, disagreement: float) -> float | None:
    """Return the smallest true loss that McNemar's test at 5 % finds with 80 % chance on n items; None if none is.

    ``disagreement`` is the share of items on which exactly one is right when both are equally good; a loss adds to it.
    """

    def shortfall(loss: float) -> float:
        return mcnemar_power(n, disagreement, loss) - POWER

    if n == 0 or shortfall(1.0) < 0:
        return None
    return float(brentq(shortfall, 0.0, 1.0, xtol=1e-4))


def mcnemar_power(n: int, disagreement: float, loss: float) -> float:
    """Return the chance that "the candidate is worse" is found at 5 % when its true loss is ``loss``."""
    gained = min(disagreement, 1.0 - loss) / 2
    lost = gained + loss
    total = gained + lost
    if total == 0:
        return 0.0
    discordant = np.arange(n + 1)
    weights = binom.pmf(discordant, n, total)
    chance = 0.0
    for m in discordant[weights > RARE]:
        needed = _needed(int(m))
        if needed is not None:
            chance += weights[m] * float(binom.sf(needed - 1, m, lost / total))
    return float(chance)


def power_table(setting: Setting, params: GateParams, sizes: dict[str, tuple[int, float]]) -> dict[str, Any]:
    """Return what ``python -m evals power`` prints: verdict chances by true loss, and detectable losses by what is compared."""
    return {
        "setting": setting._asdict(),
        "chances": [{"loss": loss, **verdict_chances(setting, loss, params)._asdict()} for loss in LOSSES],
        "detectable": {name: {"n": n, "disagreement": share, "loss": detectable_loss(n, share)} for name, (n, share) in sizes.items()},
    }


def _cells(misses: float, disagreement: float, loss: float) -> tuple[float, float, float]:
    """Return P(gained), P(lost), P(both wrong): the loss is added to what two equal candidates disagree on."""
    gained = min(disagreement / 2, misses)  # only what the champion misses can be gained
    lost = gained + loss
    return gained, lost, misses - gained


def _outcomes(n: int, cells: tuple[float, float, float]) -> list[tuple[tuple[int, int, int], float]]:
    """Return every (gained, lost, both wrong) that is not rare, with its chance."""
    ranges = [np.arange(int(binom.ppf(1 - RARE, n, cell)) + 1) if cell > 0 else np.zeros(1, dtype=int) for cell in cells]
    grid: NDArray[np.int_] = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[grid.sum(axis=1) <= n]
    counts = np.column_stack([grid, n - grid.sum(axis=1)])
    chances = multinomial.pmf(counts, n, [*cells, 1.0 - sum(cells)])
    kept = chances > RARE
    return [((int(g), int(lo), int(w)), float(p)) for (g, lo, w), p in zip(grid[kept], chances[kept], strict=True)]


def _verdict(gained: int, lost: int, both_wrong: int, n: int, params: GateParams) -> str:
    if _certified(n - lost - both_wrong, n) < params.floor or _worse(gained, lost) < SIGNIFICANT:
        return "FAIL"
    return "PASS" if _low(gained, lost, n) > -params.delta else "INCONCLUSIVE"


def _false_alarm(n: int, disagreement: float) -> float:
    """Return how often the test on specificity fails a candidate that is as specific as the champion."""
    return mcnemar_power(n, disagreement, 0.0)


_certified = cache(lower_bound)
_worse = cache(mcnemar_worse)
_low = cache(tango_lower)


@cache
def _needed(discordant: int) -> int | None:
    """Return the fewest losses among ``discordant`` items that the test calls worse; None where no number is enough."""
    return next((lost for lost in range(discordant + 1) if mcnemar_worse(discordant - lost, lost) < SIGNIFICANT), None)
