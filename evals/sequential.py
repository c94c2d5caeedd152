"""Tests that may be looked at after every observation: e-processes for a rate and for the mean of bounded values. Pure.

An e-process starts at 1 and is not expected to grow while the null hypothesis holds, whatever was seen before. By Ville's inequality
(1939) it then ever reaches ``1 / alpha`` with probability at most ``alpha``: no sample size is fixed beforehand and looking costs nothing.
Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; Ramdas, Grünwald, Vovk and Shafer,
"Game-theoretic statistics and safe anytime-valid inference", Statistical Science, 2023. All values are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, logsumexp, xlog1py, xlogy

PRIOR = 0.5  # Beta(1/2, 1/2), Krichevsky and Trofimov 1981: rates near 0 and 1 get more weight than under a uniform one
BETS = 20  # the stakes that the capital is divided over
WINDOW = 1000  # outcomes; long enough to find four times what is allowed, short enough that a calm before it does not hide it
SMALLEST_MEAN = 1e-9  # a bound of 0 would allow infinite stakes; testing against a little more only errs towards no alert


def log_e_above(successes: ArrayLike, failures: ArrayLike, bound: float) -> NDArray[np.float64]:
    """Return the log e-value against "the rate is at most ``bound``", for counts of any one shape.

    It is the likelihood ratio of the rates above the bound, mixed over a Beta prior cut off at the bound, to the bound itself. It is
    a supermartingale as long as the chance of a success, given the past, never exceeds the bound. A bound of 1 has no alternative: 0.
    """
    s, f = np.asarray(successes, dtype=np.float64), np.asarray(failures, dtype=np.float64)
    if bound >= 1:
        return np.zeros(np.broadcast(s, f).shape)
    tail = betaincc(s + PRIOR, f + PRIOR, bound)
    with np.errstate(divide="ignore"):  # a tail too small for a float of full precision counts as none: it only errs towards no alert
        mixed = betaln(s + PRIOR, f + PRIOR) + np.log(np.where(tail < np.finfo(np.float64).tiny, 0.0, tail))
    prior = betaln(PRIOR, PRIOR) + np.log(betaincc(PRIOR, PRIOR, bound))
    return np.asarray(mixed - prior - xlogy(s, bound) - xlog1py(f, -bound))


def log_e_below(successes: ArrayLike, failures: ArrayLike, bound: float) -> NDArray[np.float64]:
    """Return the log e-value against "the rate is at least ``bound``": that of ``log_e_above`` for the failures."""
    return log_e_above(failures, successes, 1 - bound)


def log_e_outside(successes: ArrayLike, failures: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """Return the log e-value against "the rate lies within [``low``, ``high``]": the mean of the sides that have an alternative.

    A mean of e-processes is one. A ``low`` of 0 leaves the test of "more than ``high``" with its full weight.
    """
    sides = []
    if high < 1:
        sides.append(log_e_above(successes, failures, high))
    if low > 0:
        sides.append(log_e_below(successes, failures, low))
    if not sides:
        return log_e_above(successes, failures, 1.0)
    return np.asarray(logsumexp(sides, axis=0) - np.log(len(sides)))


def log_e_mean_above(values: ArrayLike, bound: float, *, upper: float) -> NDArray[np.float64]:
    """Return the log e-values against "the mean is at most ``bound``", one after each value; values lie within [0, ``upper``].

    The capital of a gambler who divides it over fixed stakes on values above the bound: diversified Kelly betting, from Waudby-Smith and
    Ramdas, "Estimating means of bounded random variables by betting", JRSS-B, 2024. A bound of ``upper`` has no alternative: 0.
    """
    scaled = np.asarray(values, dtype=np.float64) / upper
    if bound >= upper:
        return np.zeros(len(scaled))
    mean = max(bound / upper, SMALLEST_MEAN)
    stakes = np.arange(1, BETS + 1) / (BETS + 1) / mean  # below 1 / mean, so that no value takes all
    capitals = np.log1p(stakes * (scaled[:, None] - mean)).cumsum(axis=0)
    return np.asarray(logsumexp(capitals, axis=1) - np.log(BETS))


@dataclass(frozen=True)
class RateTest:
    """The test of "the rate lies within [low, high]", as far as it has got. ``peak`` is its largest log e-value so far: that decides.

    After a long calm the whole history hides a shift. So one half of the capital is on the history, and the other is divided over windows
    of ``WINDOW`` outcomes, 1 / (k (k + 1)) on the k-th; each starts at 1 and keeps what it ends with. A fixed mixture of e-processes is
    an e-process. ``closed`` is the log of what the ended windows hold, ``opened`` the successes before the present one.
    """

    low: float
    high: float
    successes: int = 0
    n: int = 0
    peak: float = 0.0
    closed: float = -np.inf
    opened: int = 0

    def after(self, outcomes: Sequence[bool]) -> RateTest:
        """Return the test after more outcomes, looked at after each one; in how many portions they come makes no difference."""
        test, start = self, 0
        while start < len(outcomes):
            end = start + WINDOW - test.n % WINDOW
            test, start = test._within(outcomes[start:end]), end
        return test

    def can_reach(self, log_e: float) -> bool:
        """Say whether ``n`` outcomes that were all alike would have reached a log e-value: if not, there are too few to judge."""
        return bool(log_e_outside([self.n, 0], [0, self.n], self.low, self.high).max() - np.log(2) >= log_e)

    def _within(self, outcomes: Sequence[bool]) -> RateTest:
        """Take outcomes that do not reach beyond the present window."""
        window, seen = divmod(self.n, WINDOW)
        window += 1
        successes = self.successes + np.cumsum(np.asarray(outcomes, dtype=np.int64))
        n = self.n + np.arange(1, len(outcomes) + 1)
        history = log_e_outside(successes, n - successes, self.low, self.high)
        hits = successes - self.opened
        inside = log_e_outside(hits, n - (window - 1) * WINDOW - hits, self.low, self.high) - np.log(window * (window + 1))
        to_come = np.full(len(n), -np.log(window + 1))
        path = logsumexp([history, np.full(len(n), self.closed), inside, to_come], axis=0) - np.log(2)
        moved = replace(self, successes=int(successes[-1]), n=int(n[-1]), peak=max(self.peak, float(path.max())))
        if seen + len(outcomes) < WINDOW:
            return moved
        return replace(moved, closed=float(np.logaddexp(self.closed, inside[-1])), opened=moved.successes)
