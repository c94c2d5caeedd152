import json

import mlflow
import pytest
from support import evals, refresh

from evals.tracking import EXPERIMENT, track, tracking_uri

GOOD = "classify-001_smollm2-135m"


@pytest.fixture
def promoted(evaluated, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert evals(evaluated, "promote", GOOD) == 0
    refresh(evaluated)
    yield evaluated
    mlflow.set_tracking_uri(None)


def test_a_parent_and_a_child_per_candidate_are_logged_once(promoted):
    made = track(promoted)
    assert set(made[1:]) == set(promoted.candidates())
    assert track(promoted) == []

    client = mlflow.MlflowClient(tracking_uri(promoted))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == set(made)
    parent = next(run for run in runs if run.info.run_name == made[0])
    child = next(run for run in runs if run.info.run_name == GOOD)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["champion"] == "true"
    metrics = child.data.metrics
    assert metrics["safety_capture_low"] <= metrics["safety_capture"] <= metrics["safety_capture_high"]
    assert {a.path for a in client.list_artifacts(child.info.run_id)} >= {
        "outcomes.json",
        "reliability.png",
        "confusion.png",
        "classify-001.yaml",
        "threshold_price.png",
    }
    assert list((promoted.root / "mlflow" / "artifacts").rglob("reliability.png")), "the artifacts lie beside the database"
    (dataset,) = child.inputs.dataset_inputs
    assert dataset.dataset.name == "gate"
    assert dataset.dataset.digest

    champion = mlflow.genai.load_prompt("prompts:/classify@champion")
    assert "Sort the message." in champion.template
    assert champion.tags["prompt"] == "classify-001"


def test_a_release_whose_candidate_has_changed_is_logged_beside_it(promoted):
    path = promoted.root / "params.yaml"
    path.write_text(path.read_text().replace("local_threshold: 0.5", "local_threshold: 0.3"))
    refresh(promoted)
    (released,) = set(track(promoted)[1:]) - set(promoted.candidates())
    client = mlflow.MlflowClient(tracking_uri(promoted))
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], "tags.champion = 'true'")
    assert [run.info.run_name for run in runs] == [released]
    board = json.loads((promoted.reports / "leaderboard.json").read_text())
    shown = next(entry for entry in board["candidates"] if entry["candidate"] == released)
    assert runs[0].data.metrics["over_flag_rate"] == shown["over_flag_rate"]["value"]


def test_a_changed_result_is_logged_anew_and_prompts_are_not_doubled(promoted):
    track(promoted)
    path = promoted.report(GOOD, "metrics.json")
    path.write_text(path.read_text() + "\n")
    assert len(track(promoted)) == 1 + len(promoted.candidates())
    versions = mlflow.MlflowClient(tracking_uri(promoted)).search_prompt_versions("classify")
    assert len(list(versions)) == 2
