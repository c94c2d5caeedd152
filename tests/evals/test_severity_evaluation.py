import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evals.data import Split, load_splits
from evals.errors import EvalError
from evals.workflows import severity as subject
from evals.workflows.fit_severity_join import fit_join
from orchestrator.safety import load_rules
from orchestrator.schema import Severity
from orchestrator.severity import MODEL, SEVERITIES, SeverityModel, load_policy

DATASETS = Path(__file__).resolve().parents[2] / "datasets"


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Eight rows of each severity from dev and from calibration."""
    folder = tmp_path_factory.mktemp("datasets")
    for split in subject.TRAINED_ON:
        rows = [row for row in load_splits(DATASETS, [split]) if row.severity]
        kept = [row for name in Severity for row in [row for row in rows if row.severity == name][:8]]
        (folder / f"{split.value}.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in kept))
    return folder


@pytest.fixture(scope="module")
def figures(few):
    return subject.evaluate(few, gate=False)


def test_training_writes_a_model_that_can_be_loaded_and_always_the_same(few, tmp_path):
    path = tmp_path / "models" / "severity.json"
    parameters = subject.train(few, 1, path)
    first = path.read_bytes()
    assert SeverityModel.load(path)("she collapsed and cannot breathe", ("collapse",)).keys() == set(SEVERITIES)
    assert json.loads(first) == parameters
    subject.train(few, 1, path)
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["severity.json"]


def test_the_packaged_model_was_trained_on_the_safety_rows_of_today():
    rows = [row for row in load_splits(DATASETS, subject.TRAINED_ON) if row.severity]
    assert json.loads(MODEL.read_text())["model"]["trained_on"] == len(rows)


def test_the_packaged_model_weighs_the_red_flags_of_today():
    assert list(json.loads(MODEL.read_text())["flags"]) == [rule.id for rule in load_rules()]


def test_a_flag_that_tells_is_learnt_and_one_that_never_fired_weighs_nothing():
    labels = np.tile([0, 1, 2], 40)
    fired = np.column_stack([labels == 0, np.zeros(len(labels))]).astype(float)
    join = fit_join(np.full((len(labels), 3), 1 / 3), fired, labels)
    assert join.weights[0, 0] > 1
    assert np.abs(join.weights[1]).max() == 0
    assert join(np.full((1, 3), 1 / 3), np.array([[1.0, 0.0]]))[0, 0] > 0.9


def test_a_flag_that_fired_on_few_rows_teaches_no_certainty():
    labels = np.tile([0, 1, 2], 40)
    fired = ((labels == 0) & (np.arange(len(labels)) < 6)).astype(float)[:, None]
    join = fit_join(np.full((len(labels), 3), 1 / 3), fired, labels)
    assert 0.34 < join(np.full((1, 3), 1 / 3), np.ones((1, 1)))[0, 0] < 0.8


def test_every_way_to_judge_is_measured_on_the_same_rows(figures):
    for ways, n in zip(figures.values(), (48, 24), strict=True):  # dev and calibration, calibration alone
        assert set(ways) == {"rules and model", "model alone", "rules alone", "former rules", "always urgent"}
        assert {np.sum(found["confusion"]) for found in ways.values()} == {n}


def test_the_mean_cost_is_that_of_the_confusion_matrix(figures):
    ways, _ = figures.values()
    for found in ways.values():
        cost = found["cost"]
        assert cost["value"] == pytest.approx((np.array(found["confusion"]) * load_policy().matrix()).sum() / 48)
        assert cost["low"] <= cost["value"] <= cost["high"]


def test_a_floor_never_loses_an_emergency_that_the_model_has(figures):
    ways, _ = figures.values()
    assert ways["rules and model"]["emergency_recall"]["value"] >= ways["model alone"]["emergency_recall"]["value"]
    assert ways["always urgent"]["emergency_recall"]["value"] == 0


def test_the_figures_can_be_read(figures):
    text = subject.render(figures)
    assert "dev and calibration, out of fold (48 safety messages)" in text
    assert "emergency recall" in text


def test_rows_without_one_of_the_severities_are_refused(few, tmp_path):
    shutil.copytree(few, tmp_path / "less")
    for path in (tmp_path / "less").iterdir():
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if '"severity":"routine"' not in line))
    with pytest.raises(EvalError, match="severity"):
        subject.evaluate(tmp_path / "less")


def test_gate_is_judged_only_when_asked_for(few, figures):
    assert not any(Split.GATE.value in name for name in figures)
