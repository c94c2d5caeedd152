"""The calibration rows as judged by a fit that has not seen them: ``Candidate -> Folded``."""

from __future__ import annotations

from typing import NamedTuple

from evals.data import Split
from evals.local import Remembered
from evals.run import evaluated_rows
from evals.score import asked_of, read_answers
from evals.scored import Scored
from evals.threshold import decided_at
from evals.tune import Fit, judge_folded, tune
from evals.workspace import Candidate, Workspace


class Folded(NamedTuple):
    """A candidate's fit, and the calibration rows with what the whole system would make of them."""

    fit: Fit
    rows: list[Scored]


def judge_unseen(workspace: Workspace, candidate: Candidate) -> Folded:
    """Return a candidate's calibration rows with out-of-fold probabilities and the decisions that follow from them.

    What may be looked at row by row, for unlike gate rows these may be tuned on. No row helped to make its own probabilities; the
    safety threshold alone, one number, was fitted on all of them. Raises ``EvalError`` when answers are missing.
    """
    params = workspace.params()
    rows = [row for row in evaluated_rows(workspace) if row.split == Split.CALIBRATION]
    answers = read_answers(workspace, candidate.answered_by, rows)
    local = Remembered.load(workspace.classifier).read([row.message for row in rows])
    asked = asked_of(workspace, candidate, local)
    fit = tune(rows, answers, local, asked, params.safety, fused=candidate.fused, seed=params.seed)
    return Folded(fit, [_decided(row, fit) for row in judge_folded(rows, answers, fit, local, asked)])


def _decided(row: Scored, fit: Fit) -> Scored:
    """Return a row with the decision of its probabilities in place of that of the fit on all rows."""
    decision = decided_at(row, fit.tuning.thresholds)
    return row.model_copy(update={"classification": row.classification.model_copy(update={"decision": decision})})
