"""Percentile intervals by resampling seeds: the interval of every number that is no proportion. Pure.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; clusters resampled whole: Davison and Hinkley, 1997,
section 3.8. A resample is a row of multinomial counts, so a statistic of weighted rows is computed for many resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array

from evals.columns import Codes, Flags, Numbers
from evals.intervals import CONFIDENCE, Estimate

REPLICATES = 2000
CELLS = 1 << 18  # numbers in one chunk of resamples (2 MB): bounds the memory, and the chunk stays in the processor's cache
EXACT = 20_000  # beyond so many rows or seeds they are resampled in groups, so that time and memory stop growing
GROUPS = 1000  # of seeds: they give an interval's width to two per cent, as 2,000 resamples do


class Difference(BaseModel):
    """The mean of a paired difference with its interval: ``low`` and ``high`` two-sided, ``upper`` the one-sided upper bound.

    ``value`` is None without rows; where there are fewer than two seeds the bounds are as open as the caller declares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float | None
    low: float
    high: float
    upper: float
    n: int
    seeds: int


@dataclass(frozen=True)
class Clusters:
    """What is resampled whole: ``code`` (n,) is the cluster of each row, ``stratum`` (clusters,) that of each cluster."""

    code: NDArray[np.int64]
    stratum: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of clusters."""
        return len(self.stratum)

    def sums(self, values: Numbers) -> Numbers:
        """Return the sums of ``values`` (n, k) within each cluster, of shape (clusters, k)."""
        columns = [np.bincount(self.code, weights=column, minlength=len(self)) for column in values.T]
        return np.column_stack(columns) if columns else np.empty((len(self), 0))

    def table(self, level: Codes, width: int, chosen: Flags | None = None) -> Any:
        """Return how many rows (``chosen`` ones, where given) each cluster has at each level, of shape (clusters, width).

        It is there to be multiplied by counts from the left; sparse where most of it is 0.
        """
        ones = np.ones(len(level)) if chosen is None else chosen.astype(np.float64)
        found = coo_array((ones, (self.code, level)), shape=(len(self), width)).tocsr()
        found.eliminate_zeros()
        return found.toarray() if 10 * found.nnz > len(self) * width else found


def clustered(seeds: ArrayLike, strata: ArrayLike | None = None, *, seed: int) -> Clusters:
    """Return the rows' seeds as clusters, within strata where given (a seed in two strata is two clusters).

    Beyond ``EXACT`` seeds in a stratum they are dealt at random into ``GROUPS`` clusters of one size: what is made of independent
    seeds is independent, too.
    """
    _, codes = np.unique(np.asarray(seeds), return_inverse=True)
    layers, layer = np.unique(np.zeros(len(codes)) if strata is None else np.asarray(strata), return_inverse=True)
    found, code = np.unique(layer * (len(codes) + 1) + codes, return_inverse=True)
    stratum = found // (len(codes) + 1)
    rng = np.random.default_rng(seed)
    dealt, made = np.empty(len(found), np.int64), 0
    strata_made = []
    for index in range(len(layers)):
        members = np.flatnonzero(stratum == index)
        size = len(members) if len(members) <= EXACT else GROUPS
        dealt[members] = made + (np.arange(size) if size == len(members) else rng.permutation(len(members)) % size)
        made += size
        strata_made.append(np.full(size, index))
    return Clusters(code=dealt[code], stratum=np.concatenate(strata_made) if strata_made else np.empty(0, np.int64))


def levels_of(values: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Return the rising distinct ``values`` (n,) and each row's code among them; of more than ``EXACT`` rows to a thousandth part."""
    mantissa, exponent = np.frexp(values)
    found, level = np.unique(values if len(values) <= EXACT else np.ldexp(mantissa.round(3), exponent), return_inverse=True)
    return found, level


def replicate(
    statistic: Callable[[Numbers], Numbers], clusters: Clusters, *, seed: int, replicates: int = REPLICATES, width: int = 0
) -> Numbers:
    """Return ``statistic`` of ``replicates`` resamples, of shape (replicates, k).

    ``statistic`` takes how often each cluster was drawn, of shape (r, clusters), and returns (r, k); within a stratum as many clusters
    are drawn as it has. r is as many as keep arrays of ``width`` columns, or of one per cluster where that is more, within ``CELLS``.
    """
    rng = np.random.default_rng(seed)
    step = max(1, CELLS // max(width, len(clusters), 1))
    sizes = [min(step, replicates - start) for start in range(0, replicates, step)]
    return np.concatenate([statistic(_counts(clusters.stratum, size, rng)) for size in sizes])


def interval(value: float | None, draws: Numbers, *, n: int, seeds: int, open_range: tuple[float, float]) -> Estimate:
    """Return ``value`` with the percentile interval of ``draws`` (replicates,); a NaN is a resample in which it is not defined.

    From fewer than two seeds nothing can be resampled: the interval is then the whole ``open_range`` of the number.
    """
    defined = draws[~np.isnan(draws)]
    if value is None or seeds < 2 or not len(defined):
        return Estimate(value=value, low=open_range[0], high=open_range[1], n=n)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n)


def difference(
    a: ArrayLike,
    b: ArrayLike,
    seeds: ArrayLike,
    *,
    seed: int,
    replicates: int = REPLICATES,
    confidence: float = CONFIDENCE,
    open_range: tuple[float, float] = (-2.0, 2.0),  # of a difference of multiclass Brier scores
) -> Difference:
    """Return the mean of ``a - b`` with its seed-level percentile interval and one-sided upper bound, both at ``confidence``.

    ``a`` and ``b`` (n,) are losses or hits of two candidates on the same rows, ``seeds`` (n,) the rows' seeds, ids or codes.
    Raises ``ValueError`` when the three are not of one length.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not first.shape == second.shape == np.shape(seeds):
        raise ValueError(f"a, b and seeds are of shapes {first.shape}, {second.shape} and {np.shape(seeds)}: they must be of the same rows")
    gap, count = first - second, len(np.unique(np.asarray(seeds)))
    value = float(gap.mean()) if len(gap) else None
    if count < 2:
        return Difference(value=value, low=open_range[0], high=open_range[1], upper=open_range[1], n=len(gap), seeds=count)
    clusters = clustered(seeds, seed=seed)
    sums = clusters.sums(np.column_stack([gap, np.ones(len(gap))]))

    def mean(counts: Numbers) -> Numbers:
        totals = counts @ sums
        return totals[:, 0] / totals[:, 1]

    tail = (1 - confidence) / 2
    low, high, upper = np.quantile(replicate(mean, clusters, seed=seed, replicates=replicates), [tail, 1 - tail, confidence])
    return Difference(value=value, low=float(low), high=float(high), upper=float(upper), n=len(gap), seeds=count)


def _counts(stratum: Codes, size: int, rng: np.random.Generator) -> Numbers:
    """Return ``size`` multinomial draws of as many clusters as each stratum has, of shape (size, clusters)."""
    counts = np.empty((size, len(stratum)))
    for members in _members(stratum):
        drawn = rng.integers(0, len(members), size=(size, len(members)))
        drawn += np.arange(size)[:, None] * len(members)
        counts[:, members] = np.bincount(drawn.ravel(), minlength=size * len(members)).reshape(size, -1)
    return counts


def _members(stratum: Codes) -> Iterator[Codes]:
    for index in np.unique(stratum):
        yield np.flatnonzero(stratum == index)
