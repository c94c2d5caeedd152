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
    }
    (dataset,) = child.inputs.dataset_inputs
    assert dataset.dataset.name == "gate"
    assert dataset.dataset.digest

    champion = mlflow.genai.load_prompt("prompts:/classify@champion")
    assert "Sort the message." in champion.template
    assert champion.tags["prompt"] == "classify-001"


def test_a_changed_result_is_logged_anew_and_prompts_are_not_doubled(promoted):
    track(promoted)
    path = promoted.report(GOOD, "metrics.json")
    path.write_text(path.read_text() + "\n")
    assert len(track(promoted)) == 4
    versions = mlflow.MlflowClient(tracking_uri(promoted)).search_prompt_versions("classify")
    assert len(list(versions)) == 2
