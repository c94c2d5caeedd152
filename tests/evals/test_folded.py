"""Calibration rows judged unseen are those that the reports' out-of-fold figures are of."""

import pytest

from evals.columns import Columns
from evals.data import Split
from evals.folded import judge_unseen
from evals.metrics import summary
from evals.scored import read_outcomes
from evals.workspace import Workspace, read_json


@pytest.fixture(scope="module")
def workspace(root):
    return Workspace(root)


@pytest.fixture(scope="module")
def folded(workspace):
    return judge_unseen(workspace, workspace.candidate("local-tfidf"))


@pytest.fixture(scope="module")
def report(workspace):
    return read_json(workspace.report("local-tfidf", "metrics.json"), "run `dvc repro`")


def test_the_loss_of_unseen_rows_is_the_one_candidates_are_ranked_by(folded, report):
    assert summary(Columns.of(folded.rows))["nll_calibrated"] == pytest.approx(report["fit"]["nll_out_of_fold"])


def test_what_is_decided_follows_from_the_unseen_probabilities(folded, report, workspace):
    in_force = next(step for step in report["price"] if step["threshold"]["alpha"] == workspace.params().safety.alpha)
    assert summary(Columns.of(folded.rows))["over_flag_rate"] == in_force["over_flag_calibration"]


def test_unseen_rows_are_no_better_than_the_rows_a_fit_has_seen(folded, workspace):
    seen = [row for row in read_outcomes(workspace.report("local-tfidf", "outcomes.jsonl")) if row.split == Split.CALIBRATION]
    assert [row.id for row in folded.rows] == [row.id for row in seen]
    assert summary(Columns.of(folded.rows))["nll_calibrated"] > summary(Columns.of(seen))["nll_calibrated"]
