"""Every pair of candidates on the same rows: how much better one is, how sure that is, and whether it can be told at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from evals.bootstrap import clustered, replicate
from evals.columns import Columns, filled
from evals.intervals import CONFIDENCE
from evals.proper import brier_scores, log_losses
from evals.scored import Scored
from orchestrator.schema import SAFETY_INDEX

COUNTS = ("accuracy", "safety_capture", "specificity")  # right or wrong, message by message; more is better
LOSSES = ("brier", "nll")  # of the calibrated probabilities; less is better
SIGNIFICANT = 0.05

Values = NDArray[np.float64]


def compare_all(outcomes: Mapping[str, Sequence[Scored]], *, seed: int) -> list[dict[str, Any]]:
    """Return every pair of candidates with, per metric, the paired difference, its interval and its corrected p-value.

    ``outcomes`` are each candidate's rows of one split; rows are matched by id, and all candidates must have the same. Intervals
    are two-sided 95 % of a bootstrap that resamples seeds; p-values are of McNemar's exact test for counts and of a z-test on
    seed totals for losses, corrected over all pairs of one metric by Holm's method (1979), so that the chance of calling any
    difference real that is none stays below 5 %. Raises ``ValueError`` when rows differ.
    """
    names = list(outcomes)
    rows = {name: sorted(outcomes[name], key=lambda row: row.id) for name in names}
    first = rows[names[0]] if names else []
    if any([row.id for row in rows[name]] != [row.id for row in first] for name in names):
        raise ValueError("candidates can be compared on the same rows only")
    pairs = list(combinations(names, 2))
    result: list[dict[str, Any]] = [{"candidate": a, "against": b} for a, b in pairs]
    table = {name: _values(rows[name]) for name in names}
    seeds = np.array([row.seed_id for row in first])
    for metric in (*COUNTS, *LOSSES):
        measured = ~np.isnan(table[names[0]][metric]) if names else np.empty(0, dtype=bool)
        gaps = np.array([table[a][metric][measured] - table[b][metric][measured] for a, b in pairs]).T
        found = _differences(gaps.reshape(-1, len(pairs)), seeds[measured], exact=metric in COUNTS, seed=seed)
        for pair, one, corrected in zip(result, found, holm([one["p"] for one in found]), strict=True):
            better = one["difference"] > 0 if metric in COUNTS else one["difference"] < 0
            said = "no detectable difference" if corrected >= SIGNIFICANT else f"{pair['candidate' if better else 'against']} is better"
            pair[metric] = {**one, "p_holm": corrected, "said": said}
    return result


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for testing them all; those below 0.05 may be called real together.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - place)))
        corrected[index] = highest
    return [float(p) for p in corrected]


def mcnemar_two_sided(gained: int, lost: int) -> float:
    """Return the two-sided exact p-value of "the two are equally often right". Source: McNemar, 1947, in its exact conditional form."""
    return float(min(1.0, 2 * binom.cdf(min(gained, lost), gained + lost, 0.5)))


def pareto_front(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the candidates of a leaderboard that no other beats: safety capture against over-flagging, cost and latency.

    One beats another when it is no worse in all four and better in at least one.
    """

    def costs(entry: Mapping[str, Any]) -> tuple[float, ...]:
        capture, over = entry["safety_capture"]["value"] or 0.0, entry["over_flag_rate"]["value"] or 0.0
        return (-capture, over, entry["usd_per_1000"], entry["latency_p50_s"])

    points = {entry["candidate"]: costs(entry) for entry in entries}

    def beaten(name: str) -> bool:
        mine = points[name]
        return any(theirs != mine and all(t <= m for t, m in zip(theirs, mine, strict=True)) for theirs in points.values())

    return [name for name in points if not beaten(name)]


def _values(rows: Sequence[Scored]) -> dict[str, Values]:
    """Return what each row counts for in every metric; NaN where a metric is not of the row."""
    columns = Columns.of(rows)
    safety, calibrated = columns.label == SAFETY_INDEX, filled(columns.calibrated)
    return {
        "accuracy": (columns.decided == columns.label).astype(float),
        "safety_capture": np.where(safety, columns.routed, np.nan),
        "specificity": np.where(safety, np.nan, 1.0 - columns.routed),
        "brier": brier_scores(calibrated, columns.label),
        "nll": log_losses(calibrated, columns.label),
    }


def _differences(gaps: Values, seeds: NDArray[np.str_], *, exact: bool, seed: int) -> list[dict[str, Any]]:
    """Return mean, interval and p-value of each column of ``gaps`` (n, pairs)."""
    n = len(gaps)
    if n == 0:
        return [{"n": 0, "difference": 0.0, "low": -1.0, "high": 1.0, "p": 1.0} for _ in range(gaps.shape[1])]
    clusters = clustered(seeds, seed=seed)
    totals = clusters.sums(np.column_stack([gaps, np.ones(n)]))

    def means(counts: Values) -> Values:
        drawn = counts @ totals
        return np.asarray(drawn[:, :-1] / drawn[:, -1:])

    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicate(means, clusters, seed=seed, width=gaps.shape[1]), [tail, 1 - tail], axis=0)
    found = []
    for column, gap in enumerate(gaps.T):
        one: dict[str, Any] = {"n": n, "difference": float(gap.mean()), "low": float(low[column]), "high": float(high[column])}
        if exact:
            gained, lost = int((gap > 0).sum()), int((gap < 0).sum())
            one |= {"gained": gained, "lost": lost, "p": mcnemar_two_sided(gained, lost)}
        else:
            one["p"] = _z_test(totals[:, column], totals[:, -1])
        found.append(one)
    return found


def _z_test(sums: Values, counts: Values) -> float:
    """Return the two-sided p-value of a mean of 0, rows of one seed counting as one cluster (Liang and Zeger, 1986)."""
    mean = sums.sum() / counts.sum()
    error = float(np.sqrt(((sums - mean * counts) ** 2).sum()))
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * norm.sf(abs(sums.sum()) / error))
