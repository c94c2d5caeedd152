"""The metrics, one function each, over scored rows. Failures stay in every denominator. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.calibrate import nll
from evals.intervals import Estimate, proportion
from evals.scored import Scored
from orchestrator.schema import CATEGORIES, SAFETY_INDEX, Band, Category, Probabilities

Rows = Sequence[Scored]


def accuracy(rows: Rows, predicted: Callable[[Scored], Category | None]) -> Estimate:
    """Return the share of rows whose predicted category is the label; no prediction is wrong."""
    return _share(predicted(row) == row.label for row in rows)


def safety_recall(rows: Rows, predicted: Callable[[Scored], Category | None]) -> Estimate:
    """Return the share of safety rows labelled safety."""
    return _share(predicted(row) == Category.SAFETY_COMPLIANCE for row in rows if is_safety(row))


def safety_capture(rows: Rows) -> Estimate:
    """Return the share of safety rows labelled safety *or* sent to a person as safety."""
    return _share(captured(row) for row in rows if is_safety(row))


def safety_precision(rows: Rows, predicted: Callable[[Scored], Category | None]) -> Estimate:
    """Return the share of rows labelled safety that are."""
    return _share(is_safety(row) for row in rows if predicted(row) == Category.SAFETY_COMPLIANCE)


def over_flag_rate(rows: Rows) -> Estimate:
    """Return the share of non-safety rows routed as safety."""
    return _share(row.classification.decision.routed_as_safety for row in rows if not is_safety(row))


def review_rate(rows: Rows) -> Estimate:
    """Return the share of rows that a person must look at."""
    return _share(row.classification.decision.review_required for row in rows)


def failure_rate(rows: Rows) -> Estimate:
    """Return the share of rows without an answer from the candidate."""
    return _share(row.classification.failure is not None for row in rows)


def macro_f1(rows: Rows, predicted: Callable[[Scored], Category | None]) -> float:
    """Return the unweighted mean of the three F1 scores; a category never right scores 0."""
    scores = []
    for category in CATEGORIES:
        hits = sum(predicted(row) == category == row.label for row in rows)
        either = sum((predicted(row) == category) + (row.label == category) for row in rows)
        scores.append(2 * hits / either if either else 0.0)
    return float(np.mean(scores))


def confusion(rows: Rows, predicted: Callable[[Scored], Category | None]) -> list[list[int]]:
    """Return counts by true category (rows) and predicted category (columns; the fourth is "no answer")."""
    table = [[0] * (len(CATEGORIES) + 1) for _ in CATEGORIES]
    for row in rows:
        guess = predicted(row)
        table[CATEGORIES.index(row.label)][len(CATEGORIES) if guess is None else CATEGORIES.index(guess)] += 1
    return table


def brier(probabilities: NDArray[np.float64], labels: NDArray[np.int_]) -> float:
    """Return the multiclass Brier score, 0 (best) to 2: mean squared distance to the one-hot label.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    hot = np.eye(len(CATEGORIES))[labels]
    return float(((probabilities - hot) ** 2).sum(axis=1).mean())


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int_], bins: int = 10) -> float:
    """Return ECE over equal-mass bins of the confidence. Biased upwards at small n: shown, never gated on.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015, with equal-mass bins.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(labels))


def bands(rows: Rows) -> list[dict[str, Any]]:
    """Return, per confidence band, how many rows fell there, their mean confidence and their accuracy."""
    table = []
    for band in Band:
        inside = [row for row in rows if row.classification.decision.band == band]
        mean = float(np.mean([row.classification.decision.confidence for row in inside])) if inside else None
        table.append({"band": band.value, "mean_confidence": mean, "accuracy": accuracy(inside, by_system).model_dump()})
    return table


def reweighted_accuracy(rows: Rows, prior: dict[str, float]) -> float | None:
    """Return the system's accuracy at the declared traffic prevalence; None when a category has no rows."""
    total = 0.0
    for category in CATEGORIES:
        of_category = [row for row in rows if row.label == category]
        if not of_category:
            return None
        total += prior[category.value] * sum(by_system(row) == row.label for row in of_category) / len(of_category)
    return total


def matrix(distributions: Iterable[Probabilities | None]) -> NDArray[np.float64]:
    """Return probabilities of shape (n, 3). A failure counts as certainty spread evenly: 1/3 each."""
    even = np.full(len(CATEGORIES), 1 / len(CATEGORIES))
    vectors = [even if p is None else p.vector() for p in distributions]
    return np.array(vectors) if vectors else np.empty((0, len(CATEGORIES)))


def label_indices(rows: Rows) -> NDArray[np.int_]:
    """Return the labels as indices into the categories."""
    return np.array([CATEGORIES.index(row.label) for row in rows], dtype=int)


def by_raw(row: Scored) -> Category | None:
    """What the candidate's raw probabilities say; None for a failure."""
    raw = row.classification.raw_probabilities
    return None if raw is None else raw.top


def by_calibrated(row: Scored) -> Category | None:
    """What the candidate's calibrated probabilities say; None for a failure."""
    return None if row.classification.failure else row.classification.probabilities.top


def by_system(row: Scored) -> Category | None:
    """What the whole system decides: calibration, red flags, local classifier and policy together."""
    return row.classification.decision.category


def is_safety(row: Scored) -> bool:
    """Say whether the label is safety."""
    return CATEGORIES.index(row.label) == SAFETY_INDEX


def captured(row: Scored) -> bool:
    """Say whether the row was labelled safety or routed to a person as safety."""
    return row.classification.decision.routed_as_safety


def summary(rows: Rows, prior: dict[str, float]) -> dict[str, Any]:
    """Return all metrics of a set of rows: raw model, calibrated, and whole system."""
    labels = label_indices(rows)
    raw = matrix(row.classification.raw_probabilities for row in rows)
    calibrated = matrix(None if row.classification.failure else row.classification.probabilities for row in rows)
    estimates = {
        "accuracy_raw": accuracy(rows, by_raw),
        "accuracy_calibrated": accuracy(rows, by_calibrated),
        "accuracy_system": accuracy(rows, by_system),
        "safety_recall_raw": safety_recall(rows, by_raw),
        "safety_recall_calibrated": safety_recall(rows, by_calibrated),
        "safety_recall": safety_recall(rows, by_system),
        "safety_capture": safety_capture(rows),
        "safety_precision": safety_precision(rows, by_system),
        "over_flag_rate": over_flag_rate(rows),
        "review_rate": review_rate(rows),
        "failure_rate": failure_rate(rows),
    }
    latencies = [row.classification.usage.latency_s for row in rows] or [0.0]
    return {
        **{name: estimate.model_dump() for name, estimate in estimates.items()},
        "macro_f1": macro_f1(rows, by_system),
        "accuracy_at_prior": reweighted_accuracy(rows, prior),
        "nll_raw": nll(raw, labels) if len(rows) else None,
        "nll_calibrated": nll(calibrated, labels) if len(rows) else None,
        "brier_raw": brier(raw, labels) if len(rows) else None,
        "brier_calibrated": brier(calibrated, labels) if len(rows) else None,
        "ece_raw": expected_calibration_error(raw, labels) if len(rows) else None,
        "ece_calibrated": expected_calibration_error(calibrated, labels) if len(rows) else None,
        "latency_p50_s": float(np.percentile(latencies, 50)),
        "latency_p95_s": float(np.percentile(latencies, 95)),
        "usd_per_1000": 1000 * sum(row.cost_usd for row in rows) / max(len(rows), 1),
        "input_tokens": sum(row.classification.usage.input_tokens for row in rows),
        "output_tokens": sum(row.classification.usage.output_tokens for row in rows),
    }


def slices(rows: Rows) -> dict[str, dict[str, dict[str, Any]]]:
    """Return accuracy, capture and over-flagging of the system by channel, kind, and every facet of the slices."""
    groups: dict[str, dict[str, list[Scored]]] = {}
    for row in rows:
        facets: dict[str, list[str]] = {"channel": [row.channel.value], "kind": [row.kind]}
        for name in row.slices:
            facet, _, value = name.partition(":")
            facets.setdefault(facet, []).append(value)
        for facet, values in facets.items():
            for value in values:
                groups.setdefault(facet, {}).setdefault(value, []).append(row)
    return {
        facet: {
            value: {
                "n": len(inside),
                "accuracy": accuracy(inside, by_system).model_dump(),
                "safety_capture": safety_capture(inside).model_dump(),
                "over_flag_rate": over_flag_rate(inside).model_dump(),
            }
            for value, inside in sorted(by_value.items())
        }
        for facet, by_value in sorted(groups.items())
    }


def _share(outcomes: Iterable[bool]) -> Estimate:
    values = list(outcomes)
    return proportion(sum(values), len(values))
