"""What the evaluation says of traffic: numbers reweighted to the declared prevalence of the categories. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.bootstrap import clustered, interval, replicate
from evals.calibration_error import expected_calibration_error
from evals.columns import BANDS, Columns, Numbers, filled, top
from evals.intervals import Estimate, proportion
from evals.proper import brier_scores
from orchestrator.schema import CATEGORIES, SAFETY_INDEX

SHARES = ("accuracy", "flag_rate", "review_rate", "degraded_rate")
Prior = dict[str, float]


def at_prior(columns: Columns, prior: Prior, *, seed: int) -> dict[str, Any]:
    """Return accuracy, safety precision, flag, review and degraded rates, band shares, Brier and ECE10 at ``prior``.

    Each is the mean over a category's rows, weighted by the prior of the category; None where a category of the prior has no rows.
    Intervals resample seeds within each label, since the prior is declared and not estimated. Rates are the whole system's, Brier
    and ECE10 those of the calibrated probabilities, a failure counting 1/3 each.
    """
    shares = np.array([prior[category.value] for category in CATEGORIES])
    calibrated = filled(columns.calibrated)
    flagged = columns.decided == SAFETY_INDEX
    values = np.column_stack(
        [
            columns.decided == columns.label,
            columns.routed,
            columns.review,
            columns.degraded,
            brier_scores(calibrated, columns.label),
            *(columns.band == code for code in range(len(BANDS))),
            flagged & (columns.label == SAFETY_INDEX),
            flagged,
        ]
    ).astype(np.float64)
    clusters = clustered(columns.seed, columns.label, seed=seed)
    present = np.unique(columns.label)  # the strata are in this order
    sums = clusters.sums(np.column_stack([values, np.ones(len(columns))]))

    def reweighted(counts: Numbers) -> Numbers:
        found = np.zeros((len(counts), values.shape[1]))
        for stratum, label in enumerate(present):
            inside = clusters.stratum == stratum
            totals = counts[:, inside] @ sums[inside]
            found += shares[label] * totals[:, :-1] / totals[:, -1:]
        # The last two are P(flagged and safety) and P(flagged): precision is their ratio, undefined where nothing is flagged.
        precision = np.divide(found[:, -2], found[:, -1], out=np.full(len(found), np.nan), where=found[:, -1] > 0)
        return np.column_stack([found[:, :-2], precision])

    known = not set(np.flatnonzero(shares)) - set(present.tolist())
    point = reweighted(np.ones((1, len(clusters))))[0] if known else np.full(values.shape[1] - 1, np.nan)
    draws = replicate(reweighted, clusters, seed=seed) if known else np.full((1, values.shape[1] - 1), np.nan)

    weights = (shares / np.maximum(np.bincount(columns.label, minlength=len(CATEGORIES)), 1))[columns.label]

    def estimate(index: int, behind: Numbers = weights, highest: float = 1.0) -> dict[str, Any]:
        value = None if np.isnan(point[index]) else float(point[index])
        found = interval(value, draws[:, index], n=len(behind), seeds=len(clusters), open_range=(0.0, highest))
        return (_at_the_end(found, behind) if index != len(SHARES) and value in {0.0, 1.0} else found).model_dump()

    first_band = len(SHARES) + 1
    return {
        **{name: estimate(index) for index, name in enumerate(SHARES)},
        "safety_precision": estimate(-1, weights[flagged]),
        "brier": estimate(len(SHARES), highest=2.0),
        "ece10": expected_calibration_error(calibrated.max(axis=1), top(columns.calibrated) == columns.label, weights) if known else None,
        "bands": {band.value: estimate(first_band + index) for index, band in enumerate(BANDS)},
    }


def _at_the_end(share: Estimate, weights: Numbers) -> Estimate:
    """Return a share of 0 or 1, whose resamples are all alike, with the Clopper-Pearson interval of the effective number of rows.

    Source: Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts", 1998.
    """
    effective = int(weights.sum() ** 2 / (weights**2).sum())
    exact = proportion(effective if share.value else 0, effective)
    return share.model_copy(update={"low": exact.low, "high": exact.high})
