"""What asking every row several times shows: how often a candidate contradicts itself, and what its mean and its majority are worth.

Answers are given as ``answers[repeat][row]``: a category, or None for a failure, which is an answer of its own. All is of the raw model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from scipy.stats import t as student

from evals.data import Row
from evals.intervals import CONFIDENCE, Estimate, proportion
from orchestrator.schema import CATEGORIES, Category

Answers = Sequence[Sequence[Category | None]]


def summarise(rows: Sequence[Row], answers: Answers) -> dict[str, Any]:
    """Return the figures over all rows and by split, and the rows that flip with their answers in the order of the repeats."""
    by_row = list(zip(*answers, strict=True))
    splits: dict[str, list[int]] = {"all": list(range(len(rows)))}
    for index, row in enumerate(rows):
        splits.setdefault(row.split.value, []).append(index)
    return {
        "repeats": len(answers),
        "splits": {name: _figures([rows[i] for i in chosen], [by_row[i] for i in chosen]) for name, chosen in splits.items()},
        "flips": [
            {"id": row.id, "label": row.label.value, "answers": [None if a is None else a.value for a in given]}
            for row, given in zip(rows, by_row, strict=True)
            if flips(given)
        ],
    }


def flips(given: Sequence[Category | None]) -> bool:
    """Say whether the answers to one row are not all the same."""
    return len(set(given)) > 1


def majority(given: Sequence[Category | None]) -> Category | None:
    """Return the most frequent category, ties going to the one of higher precedence; None only if every answer is a failure."""
    votes = Counter(answer for answer in given if answer is not None)
    return max(votes, key=lambda category: (votes[category], CATEGORIES.index(category)), default=None)


def clustered(outcomes: Sequence[Sequence[bool]], clusters: Sequence[str]) -> Estimate:
    """Return the share of true outcomes with a 95 % interval that allows for the likeness of outcomes within a cluster.

    ``outcomes[i]`` are those of item i, which belongs to ``clusters[i]``; ``n`` of the estimate is the number of items. The interval is
    Clopper-Pearson's at the effective sample size (Korn and Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 24, 1998). Where all outcomes are alike, which says
    nothing about their likeness within clusters, the effective size is the number of clusters.
    """
    if not outcomes:
        return proportion(0, 0)
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    sizes, hits = np.zeros(len(names)), np.zeros(len(names))
    for given, cluster in zip(outcomes, clusters, strict=True):
        sizes[names[cluster]] += len(given)
        hits[names[cluster]] += sum(given)
    share = float(hits.sum() / sizes.sum())
    low, high = _clopper_pearson(share, _effective_size(sizes, hits, share))
    return Estimate(value=share, low=low, high=high, n=len(outcomes))


def in_words(report: dict[str, Any]) -> list[str]:
    """Say what the figures say, a sentence a line."""
    lines = [f"asked {report['repeats']} times:"]
    for name, figures in report["splits"].items():
        said = {key: _percent(estimate) for key, estimate in figures.items()}
        lines.append(
            f"  {name}, {figures['flip_rate']['n']} rows: {said['flip_rate']} change their category between repeats; "
            f"accuracy {said['mean_accuracy']} on average, {said['majority_accuracy']} by majority; "
            f"safety recall {said['mean_safety_recall']} on average, {said['majority_safety_recall']} by majority"
        )
    return lines


def _figures(rows: Sequence[Row], by_row: Sequence[Sequence[Category | None]]) -> dict[str, Any]:
    seeds = [row.seed_id for row in rows]
    right = [[answer == row.label for answer in given] for row, given in zip(rows, by_row, strict=True)]
    voted = [[majority(given) == row.label] for row, given in zip(rows, by_row, strict=True)]
    safety = [index for index, row in enumerate(rows) if row.label == Category.SAFETY_COMPLIANCE]
    safety_seeds = [seeds[i] for i in safety]
    estimates = {
        "flip_rate": proportion(sum(map(flips, by_row)), len(by_row)),
        "mean_accuracy": clustered(right, seeds),
        "mean_safety_recall": clustered([right[i] for i in safety], safety_seeds),
        "majority_accuracy": clustered(voted, seeds),
        "majority_safety_recall": clustered([voted[i] for i in safety], safety_seeds),
    }
    return {name: estimate.model_dump() for name, estimate in estimates.items()}


def _effective_size(sizes: NDArray[np.float64], hits: NDArray[np.float64], share: float) -> float:
    clusters, n = len(sizes), float(sizes.sum())
    if clusters == 1 or share in {0.0, 1.0}:
        return float(clusters)
    residuals = hits - share * sizes  # of the ratio estimator: the linearised variance of a share over clusters of unequal size
    variance = clusters / (clusters - 1) * float((residuals**2).sum()) / n**2
    if variance == 0:
        return n
    unclustered = share * (1 - share) / (n - 1)  # the same estimator with every outcome a cluster: their ratio is the design effect
    tail = (1 + CONFIDENCE) / 2
    degrees = (student.ppf(tail, n - 1) / student.ppf(tail, clusters - 1)) ** 2
    return min(n * unclustered / variance * float(degrees), n)


def _clopper_pearson(share: float, n: float) -> tuple[float, float]:
    hits, tail = share * n, (1 - CONFIDENCE) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if math.isclose(hits, n) else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def _percent(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "nothing (no such rows)"
    return f"{100 * estimate['value']:.1f} % [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"
