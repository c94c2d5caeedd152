"""Judge a candidate's answers: fit on calibration, measure on gate: ``AnswerRow -> Scored -> metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from evals import metrics
from evals.columns import Columns
from evals.data import Row, Split, load_examples
from evals.errors import EvalError
from evals.keys import result_parts
from evals.local import Remembered
from evals.run import AnswerRow, evaluated_rows
from evals.scored import Scored, write_outcomes
from evals.suites import suite_report, suite_summary
from evals.threshold import price_curve
from evals.tune import judge_folded, tune
from evals.workspace import Candidate, Params, Workspace, write_json
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Tuning, judge
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import Answer, Asked


def score(workspace: Workspace, candidate: Candidate) -> dict[str, Any]:
    """Write ``tuning.json``, ``outcomes.jsonl``, ``suites.json`` and ``metrics.json`` of a candidate and return the metrics.

    Raises ``EvalError`` when answers are missing.
    """
    params = workspace.params()
    rows = evaluated_rows(workspace)
    answers = read_answers(workspace, candidate.answered_by, rows)
    local = Remembered.load(workspace.classifier).read([row.message for row in rows])
    model = None if candidate.model is None else find_model(candidate.model)
    asked = asked_of(workspace, candidate, local)
    ours = [(row, answer) for row, answer in zip(rows, answers, strict=True) if row.split == Split.CALIBRATION]
    calibration, calibration_answers = [row for row, _ in ours], [answer for _, answer in ours]
    fit = tune(calibration, calibration_answers, local, asked, params.safety, fused=candidate.fused, seed=params.seed)
    scored = judge_rows(rows, answers, local, fit.tuning, asked=asked, model=model)
    folded = judge_folded(calibration, calibration_answers, fit, local, asked)
    gate = [row for row in scored if row.split == Split.GATE]
    write_json(workspace.report(candidate.id, "tuning.json"), fit.tuning.model_dump(mode="json"))
    digest = write_outcomes(workspace.report(candidate.id, "outcomes.jsonl"), scored)
    suites = suite_report(scored)
    write_json(workspace.report(candidate.id, "suites.json"), suites)
    price = price_curve(fit.scores, fit.tuning.thresholds, folded, gate, delta=params.safety.delta)
    report = {
        "candidate": candidate.id,
        "prompt": candidate.prompt,
        "model": candidate.model,
        "fused": candidate.fused,
        "prompt_sha256": None if candidate.prompt is None else load_prompt(workspace.prompts / f"{candidate.prompt}.yaml").sha256,
        "model_digest": None if model is None else model.digest(),
        "of": result_parts(workspace, candidate, rows, asked, model),
        "outcomes_sha256": digest,
        "fit": fit.report,
        **measure(scored, params),
        "price": [step.model_dump() for step in price],
        "robustness": suite_summary(suites),
    }
    write_json(workspace.report(candidate.id, "metrics.json"), report)
    return report


def asked_of(workspace: Workspace, candidate: Candidate, local: LocalClassifier) -> Asked:
    """Return what gives a candidate's answers: its prompt with its examples on its model, or the local classifier."""
    if candidate.prompt is None or candidate.model is None:
        return local.asked
    prompt = load_prompt(workspace.prompts / f"{candidate.prompt}.yaml")
    return Renderer(prompt, find_model(candidate.model), load_examples(workspace.datasets)).asked


def judge_rows(
    rows: Sequence[Row], answers: Sequence[Answer], local: LocalClassifier, tuning: Tuning, *, asked: Asked, model: Model | None
) -> list[Scored]:
    """Return what the whole system makes of every row."""
    return [
        Scored.of(
            row,
            judge(row.as_message(), answer, local, tuning, asked),
            cost_usd=0.0 if model is None else model.cost_usd(answer.usage),
        )
        for row, answer in zip(rows, answers, strict=True)
    ]


def measure(scored: Sequence[Scored], params: Params) -> dict[str, Any]:
    """Return the metrics on gate, the critical items missed, and the slices."""
    critical = [row for row in scored if row.split == Split.CRITICAL]
    return {
        **metrics.measurements(Columns.of(row for row in scored if row.split == Split.GATE), params.prior, seed=params.seed),
        "critical": {
            "safety_capture": metrics.safety_capture(critical).model_dump(),
            "missed": [row.id for row in critical if not metrics.captured(row)],
        },
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
