"""Fit a candidate's calibrator and thresholds on the calibration rows: ``(Row, Answer) -> Tuning``.

The thresholds are fitted on out-of-fold probabilities, so that no item helped to make its own score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.calibrate import MIN_ROWS, fit_calibrator, nll, out_of_fold
from evals.data import Row
from evals.fuse import beats_both, fit_fusion, out_of_fold_fusion
from evals.scored import Scored
from evals.threshold import Threshold, safety_threshold
from evals.workspace import SafetyParams
from orchestrator.calibration import Calibrator, Fusion
from orchestrator.classify import Tuning, judge
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds
from orchestrator.safety import red_flags
from orchestrator.schema import CATEGORIES, SAFETY_INDEX, Answer, Asked, Probabilities, Source

Rows = NDArray[np.float64]


class Fit(NamedTuple):
    """What was fitted, and what the fits were like."""

    tuning: Tuning
    folded: Rows  # (n, 3) out-of-fold calibrated probabilities of the calibration rows; NaN where the candidate failed
    scores: NDArray[np.float64]  # of the safety rows, what the threshold was fitted on; inf where another rule catches the row
    report: dict[str, Any]


def tune(
    rows: Sequence[Row], answers: Sequence[Answer], local: LocalClassifier, asked: Asked, safety: SafetyParams, *, fused: bool, seed: int
) -> Fit:
    """Fit on ``rows``, all of the calibration split; ``asked`` is what gave the answers, ``fused`` asks for a fusion."""
    labels = np.array([CATEGORIES.index(row.label) for row in rows], dtype=int)
    seeds = [row.seed_id for row in rows]
    local_raw = np.array([local(row.message).vector() for row in rows]).reshape(-1, len(CATEGORIES))
    local_calibrator = fit_calibrator(local_raw, labels, seeds, asked=local.asked, source=Source.LOCAL)
    local_folded = _folded(local_raw, labels, seeds, local_calibrator.kind)

    raw = np.array([_vector(answer) for answer in answers]).reshape(-1, len(CATEGORIES))
    answered = ~np.isnan(raw[:, 0])
    source = next((answer.source for answer in answers if answer.source is not None), Source.LOGPROB)
    mine = [name for name, there in zip(seeds, answered, strict=True) if there]
    alone = fit_calibrator(raw[answered], labels[answered], mine, asked=asked, source=source)
    folded = np.full(raw.shape, np.nan)
    folded[answered] = _folded(raw[answered], labels[answered], mine, alone.kind)
    calibrator: Calibrator | Fusion = alone
    fusion: dict[str, Any] = {}
    if fused:
        inputs = (raw[answered], local_raw[answered], labels[answered], mine)
        found = _fusion(*inputs, llm=folded[answered], local_folded=local_folded[answered], seed=seed)
        fusion = {"fusion": found.report}
        if found.kept:
            folded[answered] = found.folded
            calibrator = fit_fusion(*inputs, asked=asked, source=source, local_asked=local.asked)

    thresholds, scores, certificates = _thresholds(rows, labels, folded, local_folded, safety)
    tuning = Tuning(calibrator=calibrator, local_calibrator=local_calibrator, thresholds=thresholds)
    failures = int((~answered).sum())
    report = {
        "n": len(rows),
        "failures": failures,
        "calibrator": calibrator.reason,
        "nll_raw": nll(raw[answered], labels[answered]) if answered.any() else None,
        # A failure counts as an even distribution, so that failing often is never a way to rank high.
        "nll_out_of_fold": _with_failures(nll(folded[answered], labels[answered]), len(mine), failures) if mine else None,
        **{name: certificate.model_dump() for name, certificate in certificates.items()},
        **fusion,
    }
    return Fit(tuning, folded, scores, report)


def judge_folded(rows: Sequence[Row], answers: Sequence[Answer], fit: Fit, local: LocalClassifier, asked: Asked) -> list[Scored]:
    """Return the calibration rows as judged with their out-of-fold probabilities, for figures that are not in-sample."""
    judged = []
    for row, answer, vector in zip(rows, answers, fit.folded, strict=True):
        whole = judge(row.as_message(), answer, local, fit.tuning, asked)
        if not np.isnan(vector[0]):
            whole = whole.model_copy(update={"probabilities": Probabilities.from_vector(vector)})
        judged.append(Scored.of(row, whole, cost_usd=0.0))
    return judged


def _thresholds(
    rows: Sequence[Row], labels: NDArray[np.int_], folded: Rows, local_folded: Rows, safety: SafetyParams
) -> tuple[Thresholds, NDArray[np.float64], dict[str, Threshold]]:
    """Fit the thresholds of the system and of the degraded mode, each on the safety rows it must catch.

    An item that a red flag or the second opinion catches anyway needs nothing from the LLM, so the certificate is on
    the system's false negative rate and the LLM's threshold is no lower than it has to be.
    """
    is_safety = labels == SAFETY_INDEX
    flagged = np.array([bool(red_flags(row.message)) for row in rows], dtype=bool)
    second = local_folded[:, SAFETY_INDEX]
    caught = flagged | (second >= safety.local_threshold)
    mine = np.nan_to_num(folded[:, SAFETY_INDEX], nan=0.0)  # a failure is caught by other rules or not at all
    scores = np.where(caught, np.inf, mine)[is_safety]
    degraded = np.where(flagged, np.inf, second)[is_safety]
    system = safety_threshold(scores, alpha=safety.alpha, delta=safety.delta)
    standing_alone = safety_threshold(degraded, alpha=safety.alpha, delta=safety.delta)
    thresholds = Thresholds(safety=system.value, local=safety.local_threshold, degraded=standing_alone.value)
    return thresholds, scores, {"threshold": system, "threshold_degraded": standing_alone}


class _Fusion(NamedTuple):
    kept: bool
    folded: Rows | None
    report: dict[str, Any]


def _fusion(raw: Rows, local: Rows, labels: NDArray[np.int_], seeds: Sequence[str], *, llm: Rows, local_folded: Rows, seed: int) -> _Fusion:
    """Say whether a fusion beats its two parts, calibrated alone, on rows it has not seen."""
    if len(labels) < MIN_ROWS:
        return _Fusion(
            kept=False, folded=None, report={"kept": False, "reason": f"{len(labels)} rows; from {MIN_ROWS} on a fusion is fitted"}
        )
    folded = out_of_fold_fusion(raw, local, labels, seeds)
    compared = beats_both(folded, llm, local_folded, labels, seeds, seed=seed)
    return _Fusion(kept=compared.kept, folded=folded, report=compared._asdict())


def _folded(raw: Rows, labels: NDArray[np.int_], seeds: Sequence[str], kind: str) -> Rows:
    return out_of_fold(raw, labels, seeds, kind) if len(raw) else raw


def _vector(answer: Answer) -> NDArray[np.float64]:
    return np.full(len(CATEGORIES), np.nan) if answer.probabilities is None else answer.probabilities.vector()


def _with_failures(loss: float, answered: int, failures: int) -> float:
    return float((loss * answered + np.log(len(CATEGORIES)) * failures) / (answered + failures))
