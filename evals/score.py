"""Judge a candidate's answers: fit on calibration, measure on gate: ``AnswerRow -> Scored -> metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from evals import metrics
from evals.calibrate import fit_calibrator, nll, out_of_fold, safety_threshold
from evals.data import Row, Split, load_split, split_digest
from evals.errors import EvalError
from evals.run import EVALUATED, AnswerRow, evaluated_rows
from evals.scored import Scored, write_outcomes
from evals.suites import suite_report, suite_summary
from evals.workspace import Params, SafetyParams, Workspace, write_json
from orchestrator.calibration import Calibrator
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Tuning, judge
from orchestrator.local_classifier import CANDIDATE as LOCAL
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds
from orchestrator.prompts import load_prompt
from orchestrator.safety import red_flags
from orchestrator.schema import CATEGORIES, Answer, Category, Source


def score(workspace: Workspace, candidate: str, prompt: str | None, model: str | None) -> dict[str, Any]:
    """Write ``tuning.json``, ``outcomes.jsonl``, ``suites.json`` and ``metrics.json`` of a candidate and return the metrics.

    ``prompt`` and ``model`` are None for the local baseline. Raises ``EvalError`` when answers are missing.
    """
    params = workspace.params()
    rows = evaluated_rows(workspace)
    answers = read_answers(workspace, candidate, rows)
    local = LocalClassifier.load(workspace.classifier)
    tuning, fit = tune(rows, answers, local, candidate, params.safety)
    entry = None if model is None else find_model(model)
    scored = judge_rows(rows, answers, local, tuning, entry)
    write_json(workspace.report(candidate, "tuning.json"), tuning.model_dump(mode="json"))
    digest = write_outcomes(workspace.report(candidate, "outcomes.jsonl"), scored)
    suites = suite_report(scored)
    write_json(workspace.report(candidate, "suites.json"), suites)
    report = {
        "candidate": candidate,
        "prompt": prompt,
        "model": model,
        "prompt_sha256": None if prompt is None else load_prompt(workspace.prompts / f"{prompt}.yaml").sha256,
        "model_digest": None if entry is None else entry.digest(),
        "outcomes_sha256": digest,
        "data": _digests(workspace, rows),
        "fit": fit,
        **measure(scored, params),
        "robustness": suite_summary(suites),
    }
    write_json(workspace.report(candidate, "metrics.json"), report)
    return report


def _digests(workspace: Workspace, rows: Sequence[Row]) -> dict[str, str]:
    """Return the hash of every split that the results rest on; dev trained the local classifier and gave the examples."""
    used = {split: [row for row in rows if row.split == split] for split in EVALUATED}
    used[Split.DEV] = load_split(workspace.datasets, Split.DEV)
    return {split.value: split_digest(used[split]) for split in sorted(used)}


def tune(
    rows: Sequence[Row], answers: Sequence[Answer], local: LocalClassifier, candidate: str, safety: SafetyParams
) -> tuple[Tuning, dict[str, Any]]:
    """Fit the calibrators and the thresholds on the calibration rows; return them and what the fits were like."""
    pairs = [(row, answer) for row, answer in zip(rows, answers, strict=True) if row.split == Split.CALIBRATION]
    answered = [(row, answer) for row, answer in pairs if answer.probabilities is not None]
    source = answered[0][1].source if answered else None
    raw = np.array([a.probabilities.vector() for _, a in answered if a.probabilities is not None]).reshape(-1, len(CATEGORIES))
    labels = np.array([CATEGORIES.index(row.label) for row, _ in answered], dtype=int)
    seeds = [row.seed_id for row, _ in answered]
    calibrator = fit_calibrator(raw, labels, seeds, candidate=candidate, source=source or Source.LOGPROB)
    all_local = np.array([local(row.message).vector() for row, _ in pairs])
    all_labels = np.array([CATEGORIES.index(row.label) for row, _ in pairs], dtype=int)
    local_calibrator = fit_calibrator(all_local, all_labels, [row.seed_id for row, _ in pairs], candidate=LOCAL, source=Source.LOCAL)
    thresholds, price = _thresholds(pairs, calibrator, local_calibrator, all_local, safety)
    folded = out_of_fold(raw, labels, seeds) if calibrator.kind == "bcts" else raw
    failures = len(pairs) - len(answered)
    fit = {
        "n": len(pairs),
        "failures": failures,
        "calibrator": calibrator.reason,
        "nll_raw": nll(raw, labels) if answered else None,
        # A failure counts as an even distribution, so that failing often is never a way to rank high.
        "nll_out_of_fold": _with_failures(nll(folded, labels), len(answered), failures) if answered else None,
        **price,
    }
    return Tuning(calibrator=calibrator, local_calibrator=local_calibrator, thresholds=thresholds), fit


def judge_rows(rows: Sequence[Row], answers: Sequence[Answer], local: LocalClassifier, tuning: Tuning, model: Model | None) -> list[Scored]:
    """Return what the whole system makes of every row."""
    return [
        Scored.of(
            row,
            judge(row.as_message(), answer, local, tuning),
            cost_usd=0.0 if model is None else model.cost_usd(answer.usage),
        )
        for row, answer in zip(rows, answers, strict=True)
    ]


def measure(scored: Sequence[Scored], params: Params) -> dict[str, Any]:
    """Return the metrics on gate, the critical items missed, and the slices."""
    gate = [row for row in scored if row.split == Split.GATE]
    critical = [row for row in scored if row.split == Split.CRITICAL]
    return {
        "gate": metrics.summary(gate, params.prior),
        "critical": {
            "safety_capture": metrics.safety_capture(critical).model_dump(),
            "missed": [row.id for row in critical if not metrics.captured(row)],
        },
        "confusion": {
            "raw": metrics.confusion(gate, metrics.by_raw),
            "calibrated": metrics.confusion(gate, metrics.by_calibrated),
            "system": metrics.confusion(gate, metrics.by_system),
        },
        "bands": metrics.bands(gate),
        "slices": metrics.slices(gate),
    }


def read_answers(workspace: Workspace, candidate: str, rows: Sequence[Row]) -> list[Answer]:
    """Return a candidate's answers in the order of ``rows``; raise ``EvalError`` when one is missing or malformed."""
    path = workspace.report(candidate, "answers.jsonl")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError:
        raise EvalError(f"{path} is missing: run `dvc repro`") from None
    answers: dict[str, Answer] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            answer = AnswerRow.model_validate_json(line)
        except ValidationError as error:
            raise EvalError(f"{path}:{number}: not an answer ({error.errors()[0]['msg']}): run `dvc repro`") from None
        answers[answer.id] = answer.answer
    missing = [row.id for row in rows if row.id not in answers]
    if missing:
        raise EvalError(f"{path}: no answer for {len(missing)} rows, the first is {missing[0]}: run `dvc repro`")
    return [answers[row.id] for row in rows]


def _thresholds(
    pairs: Sequence[tuple[Row, Answer]],
    calibrator: Calibrator,
    local_calibrator: Calibrator,
    local_raw: np.ndarray,
    safety: SafetyParams,
) -> tuple[Thresholds, dict[str, Any]]:
    """Fit the thresholds of the system and of the degraded mode, each on the safety rows it must catch.

    An item that a red flag or the second opinion catches anyway needs nothing from the LLM, so the certificate is on
    the system's false negative rate and the LLM's threshold is no lower than it has to be.
    """
    local_safety = local_calibrator.apply_rows(local_raw)[:, -1]
    scores, degraded = [], []
    for (row, answer), local_score in zip(pairs, local_safety, strict=True):
        if row.label != Category.SAFETY_COMPLIANCE:
            continue
        flagged = bool(red_flags(row.message))
        degraded.append(np.inf if flagged else local_score)
        if answer.probabilities is None:
            scores.append(np.inf if flagged or local_score >= safety.local_threshold else 0.0)
        else:
            caught = flagged or local_score >= safety.local_threshold
            scores.append(np.inf if caught else calibrator.apply(answer.probabilities).safety)
    threshold, certified = safety_threshold(np.array(scores), alpha=safety.alpha, delta=safety.delta)
    alone, alone_certified = safety_threshold(np.array(degraded), alpha=safety.alpha, delta=safety.delta)
    thresholds = Thresholds(safety=threshold, local=safety.local_threshold, degraded=alone)
    return thresholds, {
        "safety_items": len(scores),
        "threshold": threshold,
        "threshold_certified": certified,
        "threshold_degraded": alone,
        "threshold_degraded_certified": alone_certified,
        "alpha": safety.alpha,
        "delta": safety.delta,
    }


def _with_failures(loss: float, answered: int, failures: int) -> float:
    return float((loss * answered + np.log(len(CATEGORIES)) * failures) / (answered + failures))
