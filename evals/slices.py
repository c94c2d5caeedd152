"""The metrics of the whole system and of its probabilities in every slice of the rows. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.bootstrap import clustered, interval, replicate
from evals.columns import Columns, Flags, Numbers, filled, top
from evals.intervals import Estimate, proportions
from evals.proper import brier_scores
from evals.smooth import smooth_calibration_error
from orchestrator.schema import SAFETY_INDEX

MIN_BRIER = 30  # seeds: from fewer a percentile interval is too narrow
MIN_SMECE = 100  # rows: of fewer a perfectly calibrated model shows .05 and more


def slices(columns: Columns, *, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by facet and value, the system's accuracy, recall, capture and over-flagging, and Brier and smECE of its probabilities.

    Facets are channel, kind, length, source and those of the rows' tags; a row with two values of one facet is in both slices.
    A number that too few rows stand behind is None and ``absent`` says why.
    """
    row = np.repeat(np.arange(len(columns)), np.diff(columns.tag_start))

    def count(flags: Flags) -> list[int]:
        counts: list[int] = np.bincount(columns.tag[flags[row]], minlength=len(columns.tags)).tolist()
        return counts

    safety, sizes = columns.label == SAFETY_INDEX, count(np.ones(len(columns), dtype=bool))
    of_safety, of_rest = count(safety), count(~safety)
    rates = {
        "accuracy": proportions(count(columns.decided == columns.label), sizes),
        "safety_recall": proportions(count(safety & (columns.decided == SAFETY_INDEX)), of_safety),
        "safety_capture": proportions(count(safety & columns.routed), of_safety),
        "over_flag_rate": proportions(count(~safety & columns.routed), of_rest),
    }
    briers = _briers(columns, row, seed)
    members = np.split(row[np.argsort(columns.tag, kind="stable")], np.cumsum(sizes)[:-1])
    confidence, right = filled(columns.calibrated).max(axis=1), top(columns.calibrated) == columns.label
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for code in np.flatnonzero(sizes).tolist():  # tags are in the order of their names
        facet, _, value = columns.tags[code].partition(":")
        rows = members[code]
        smece = smooth_calibration_error(confidence[rows], right[rows]) if len(rows) >= MIN_SMECE else None
        found.setdefault(facet, {})[value] = {
            "n": sizes[code],
            **{name: estimates[code].model_dump() for name, estimates in rates.items()},
            "brier": briers[code].model_dump(),
            "smece": smece,
            **_absent(briers[code], smece),
        }
    return found


def _briers(columns: Columns, row: NDArray[np.int64], seed: int) -> list[Estimate]:
    """Return the mean Brier score of every slice, all on the same resamples of the seeds; None from too few seeds."""
    scores = brier_scores(filled(columns.calibrated), columns.label)
    clusters, wide = clustered(columns.seed, seed=seed), len(columns.tags)
    cell = clusters.code[row] * wide + columns.tag
    sums, counts = (
        np.bincount(cell, weights=values, minlength=len(clusters) * wide).reshape(len(clusters), wide)
        for values in (scores[row], np.ones(len(row)))
    )
    sizes, seeds = counts.sum(axis=0).astype(int), (counts > 0).sum(axis=0)
    enough = np.flatnonzero(seeds >= MIN_BRIER)
    sums, counts = sums[:, enough], counts[:, enough]

    def means(drawn: Numbers) -> Numbers:
        of = drawn @ counts
        mean: Numbers = np.divide(drawn @ sums, of, out=np.full(of.shape, np.nan), where=of > 0)
        return mean

    draws = replicate(means, clusters, seed=seed) if len(enough) else np.empty((0, 0))
    found = [Estimate(value=None, low=0.0, high=2.0, n=size) for size in sizes.tolist()]
    for column, code in enumerate(enough.tolist()):
        value = float(sums[:, column].sum() / counts[:, column].sum())
        found[code] = interval(value, draws[:, column], n=int(sizes[code]), seeds=int(seeds[code]), open_range=(0.0, 2.0))
    return found


def _absent(brier: Estimate, smece: float | None) -> dict[str, Any]:
    why = {}
    if brier.value is None:
        why["brier"] = f"fewer than {MIN_BRIER} seeds"
    if smece is None:
        why["smece"] = f"fewer than {MIN_SMECE} rows"
    return {"absent": why} if why else {}
