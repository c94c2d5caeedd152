"""The metrics of a candidate: raw model, calibrated, and whole system. Failures stay in every denominator. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals import rates
from evals.bootstrap import clustered, interval, levels_of, replicate
from evals.calibration_error import ece, excess
from evals.columns import BANDS, Columns, Flags, Numbers, filled, top
from evals.corp import corp
from evals.intervals import Estimate, proportion
from evals.prior import Prior, at_prior
from evals.proper import brier_scores, log_losses
from evals.scored import Scored
from evals.selective import area, augrc, risk_coverage
from evals.slices import slices
from evals.smooth import smece
from orchestrator.calibration import FLOOR
from orchestrator.schema import CATEGORIES, SAFETY_INDEX, Category, Probabilities

Rows = Sequence[Scored]
VIEWS = ("raw", "calibrated")  # of the candidate's own probabilities; the third view is the whole system
COVERAGES = np.arange(1, 21) / 20
# What a number can be, where nothing narrows it down. Cost and time have no upper end: they are then left out.
RANGES = {"macro_f1": (0.0, 1.0), "nll": (0.0, -float(np.log(FLOOR))), "brier": (0.0, 2.0), "augrc": (0.0, 0.5)}


def measurements(columns: Columns, prior: Prior, *, seed: int) -> dict[str, Any]:
    """Return everything that is measured on a set of rows, as ``metrics.json`` holds it; ``seed`` is of the resampling.

    ``gate`` holds proportions with their intervals and plain numbers, whose intervals are in ``intervals``: calibration errors have
    none, they stand in ``calibration`` beside what a perfectly calibrated model would show.
    """
    calibration = {view: calibration_of(columns, view, seed=seed) for view in VIEWS}
    reweighted = at_prior(columns, prior, seed=seed)
    return {
        "gate": summary(columns) | _plain(calibration) | {"accuracy_at_prior": reweighted["accuracy"]["value"]},
        "intervals": {name: estimate.model_dump() for name, estimate in intervals(columns, seed=seed).items()},
        "at_prior": reweighted,
        "calibration": calibration,
        "risk_coverage": curves(columns),
        "confusion": {
            **{view: rates.confusion(columns.label, top(_probabilities(columns, view))).tolist() for view in VIEWS},
            "system": rates.confusion(columns.label, columns.decided).tolist(),
        },
        "bands": bands(columns),
        "slices": slices(columns, seed=seed),
    }


def summary(columns: Columns) -> dict[str, Any]:
    """Return the metrics but for calibration errors: proportions as estimates, all else as numbers, None where there are no rows."""
    labels, raw, calibrated = columns.label, top(columns.raw), top(columns.calibrated)
    estimates = {
        "accuracy_raw": rates.accuracy(labels, raw),
        "accuracy_calibrated": rates.accuracy(labels, calibrated),
        "accuracy_system": rates.accuracy(labels, columns.decided),
        "safety_recall_raw": rates.safety_recall(labels, raw),
        "safety_recall_calibrated": rates.safety_recall(labels, calibrated),
        "safety_recall": rates.safety_recall(labels, columns.decided),
        "safety_capture": rates.safety_capture(labels, columns.routed),
        "safety_precision": rates.safety_precision(labels, columns.decided),
        "over_flag_rate": rates.over_flag_rate(labels, columns.routed),
        "specificity": rates.specificity(labels, columns.routed),
        "review_rate": rates.rate(columns.review),
        "failure_rate": rates.rate(columns.failed),
    }
    numbers: dict[str, float | None] = {"macro_f1": float(rates.macro_f1(rates.confusion(labels, columns.decided)))}
    for view in VIEWS:
        probabilities = filled(_probabilities(columns, view))
        numbers |= {
            f"nll_{view}": _mean(log_losses(probabilities, labels)),
            f"brier_{view}": _mean(brier_scores(probabilities, labels)),
            f"augrc_{view}": augrc(*_confidence(columns, view)),
        }
    latencies = columns.latency_s if len(columns) else np.zeros(1)
    return {
        **{name: estimate.model_dump() for name, estimate in estimates.items()},
        **numbers,
        "augrc": augrc(*_confidence(columns, "system")),
        "latency_p50_s": float(np.percentile(latencies, 50)),
        "latency_p95_s": float(np.percentile(latencies, 95)),
        "usd_per_1000": 1000 * float(columns.cost_usd.sum()) / max(len(columns), 1),
        "input_tokens": int(columns.input_tokens.sum(dtype=np.int64)),
        "output_tokens": int(columns.output_tokens.sum(dtype=np.int64)),
    }


def calibration_of(columns: Columns, view: str, *, seed: int) -> dict[str, Any]:
    """Return how far the confidences of a view are true: ECE10 and smECE beside perfect calibration, and the CORP decompositions.

    A failure has the confidence 1/3 and is wrong. ``corp_safety`` is of P(safety) as the forecast of a safety label. None without rows.
    """
    confidence, wrong = _confidence(columns, view)
    parts = {
        "ece10": excess(ece, confidence, ~wrong, seed=seed),
        "smece": excess(smece, confidence, ~wrong, seed=seed),
        "corp_confidence": corp(confidence, ~wrong),
        "corp_safety": corp(filled(_probabilities(columns, view))[:, SAFETY_INDEX], columns.label == SAFETY_INDEX),
    }
    return {name: None if part is None else part.model_dump() for name, part in parts.items()}


def intervals(columns: Columns, *, seed: int) -> dict[str, Estimate]:
    """Return the numbers of ``summary`` that are no proportions with seed-level bootstrap intervals, all on the same resamples."""
    if not len(columns):
        return {}
    clusters = clustered(columns.seed, seed=seed)
    losses = {}
    for view in VIEWS:
        probabilities = filled(_probabilities(columns, view))
        losses[f"nll_{view}"] = log_losses(probabilities, columns.label)
        losses[f"brier_{view}"] = brier_scores(probabilities, columns.label)
    losses["usd_per_1000"] = 1000 * columns.cost_usd
    cells = (len(CATEGORIES), len(CATEGORIES) + 1)
    cell = np.ravel_multi_index((columns.label, columns.decided), cells)
    sums = clusters.sums(np.column_stack([np.ones(len(columns)), *losses.values(), *(cell == code for code in range(np.prod(cells)))]))
    ranked = {}
    for name, view in (("augrc_raw", "raw"), ("augrc_calibrated", "calibrated"), ("augrc", "system")):
        confidence, wrong = _confidence(columns, view)
        found, level = levels_of(-confidence)
        ranked[name] = (clusters.table(level, len(found)), clusters.table(level, len(found), wrong))
    latencies, level = levels_of(columns.latency_s)
    by_latency = clusters.table(level, len(latencies))
    tables = [by_latency, *(table for pair in ranked.values() for table in pair)]
    names = [*losses, "macro_f1", *ranked, "latency_p50_s", "latency_p95_s"]

    def statistic(counts: Numbers) -> Numbers:
        totals = counts @ sums
        means = totals[:, 1 : 1 + len(losses)] / totals[:, :1]
        f1 = rates.macro_f1(totals[:, 1 + len(losses) :].reshape(-1, *cells))
        areas = [area(counts @ mass, counts @ errors) for mass, errors in ranked.values()]
        return np.column_stack([means, f1, *areas, weighted_percentiles(latencies, counts @ by_latency, (50, 95))])

    point = statistic(np.ones((1, len(clusters))))[0].tolist()
    draws = replicate(statistic, clusters, seed=seed, width=max(table.shape[1] for table in tables))
    estimates = {}
    for index, (name, value) in enumerate(zip(names, point, strict=True)):
        open_range = RANGES.get(name.removesuffix("_raw").removesuffix("_calibrated"))
        if open_range or len(clusters) > 1:
            estimates[name] = interval(value, draws[:, index], n=len(columns), seeds=len(clusters), open_range=open_range or (0.0, 0.0))
    return estimates


def weighted_percentiles(values: Numbers, weights: Numbers, percents: Sequence[float]) -> Numbers:
    """Return percentiles of rising ``values`` (n,) repeated as whole-numbered ``weights`` (r, n) say, of shape (r, len(percents)).

    They are those of ``numpy.percentile`` on the repeated values.
    """
    reached = np.cumsum(weights, axis=1)
    columns = []
    for percent in percents:
        place = (reached[:, -1] - 1) * percent / 100
        lower = np.floor(place)
        left, right = (values[np.minimum((reached <= rank[:, None]).sum(axis=1), len(values) - 1)] for rank in (lower, lower + 1))
        columns.append(left + (place - lower) * (right - left))
    return np.column_stack(columns)


def curves(columns: Columns) -> dict[str, list[dict[str, float]]]:
    """Return the risk-coverage curve of each view: at each coverage the selective and the generalized risk; empty without rows."""
    found: dict[str, list[dict[str, float]]] = {}
    for view in (*VIEWS, "system"):
        selective, generalized = risk_coverage(*_confidence(columns, view), COVERAGES)
        points = zip(COVERAGES.tolist(), selective.tolist(), generalized.tolist(), strict=True)
        found[view] = [{"coverage": c, "risk": s, "generalized_risk": g} for c, s, g in points] if len(columns) else []
    return found


def bands(columns: Columns) -> list[dict[str, Any]]:
    """Return, per confidence band, how many rows fell there, their mean confidence and the system's accuracy on them."""
    table = []
    for code, band in enumerate(BANDS):
        inside = columns.band == code
        right = rates.accuracy(columns.label[inside], columns.decided[inside])
        mean = _mean(columns.confidence[inside])
        table.append({"band": band.value, "n": right.n, "mean_confidence": mean, "accuracy": right.model_dump()})
    return table


def accuracy(rows: Rows, predicted: Callable[[Scored], Category | None]) -> Estimate:
    """Return the share of rows whose predicted category is the label; no prediction is wrong."""
    return proportion(sum(predicted(row) == row.label for row in rows), len(rows))


def safety_capture(rows: Rows) -> Estimate:
    """Return the share of safety rows labelled safety *or* sent to a person as safety."""
    safety = [row for row in rows if is_safety(row)]
    return proportion(sum(map(captured, safety)), len(safety))


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


def _probabilities(columns: Columns, view: str) -> Numbers:
    return columns.raw if view == "raw" else columns.calibrated


def _confidence(columns: Columns, view: str) -> tuple[Numbers, Flags]:
    """Return each row's confidence and whether its category is wrong; the system's are of its decision, made after a failure too."""
    if view == "system":
        return columns.confidence, columns.decided != columns.label
    probabilities = _probabilities(columns, view)
    return filled(probabilities).max(axis=1), top(probabilities) != columns.label


def _plain(calibration: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Return the calibration errors as plain numbers, None without rows."""
    numbers: dict[str, float | None] = {}
    for view, parts in calibration.items():
        for name, part, key in (
            ("ece", "ece10", "value"),
            ("excess_ece", "ece10", "excess"),
            ("smece", "smece", "value"),
            ("corp_miscalibration", "corp_confidence", "miscalibration"),
            ("corp_discrimination", "corp_confidence", "discrimination"),
        ):
            numbers[f"{name}_{view}"] = None if parts[part] is None else parts[part][key]
    return numbers


def _mean(values: Numbers) -> float | None:
    return float(values.mean()) if len(values) else None
