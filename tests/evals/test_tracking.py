import os
import shutil
import socket
from dataclasses import dataclass

import mlflow
import pytest
from support import evals

from evals.errors import EvalError
from evals.scored import read_outcomes
from evals.tracking import EXPERIMENT, track, tracking_uri
from evals.workspace import Workspace, read_json

GOOD = "classify-001_smollm2-135m"
FORGETFUL = "classify-002_smollm2-135m"


def runs(workspace, filter_string=""):
    client = mlflow.MlflowClient(tracking_uri(workspace))
    return client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], filter_string)


def run_of(workspace, candidate):
    (found,) = runs(workspace, f"tags.candidate = '{candidate}'")
    return found


@pytest.fixture
def client(tracked):
    return mlflow.MlflowClient(tracking_uri(tracked))


def test_there_is_a_parent_an_evaluation_and_a_child_a_candidate_named_by_its_id(tracked):
    (parent,) = runs(tracked, "tags.result_key LIKE '%'")
    children = runs(tracked, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {run.info.run_name for run in children} == set(tracked.candidates())
    assert len(runs(tracked)) == 1 + len(children)


def test_logging_again_adds_nothing(tracked, client):
    before = [len(runs(tracked)), len(client.search_prompt_versions("classify")), len(client.search_model_versions())]
    assert track(tracked) == []
    assert [len(runs(tracked)), len(client.search_prompt_versions("classify")), len(client.search_model_versions())] == before


def test_the_command_line_says_where_the_candidates_are(tracked, capsys):
    assert evals(tracked, "track", "--ui", "http://localhost:5000/") == 0
    assert "http://localhost:5000/#/experiments/1/runs?viewStateShareKey=candidates" in capsys.readouterr().out


def test_tracking_leaves_the_environment_and_mlflow_as_they_were(tracked, monkeypatch):
    track(tracked)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert mlflow.get_tracking_uri() != tracking_uri(tracked)


def test_a_candidate_s_run_holds_its_metrics_with_intervals_its_verdict_and_why(tracked):
    found = run_of(tracked, GOOD)
    metrics, report = found.data.metrics, read_json(tracked.report(GOOD, "metrics.json"), "")
    for name in ("safety_recall", "safety_capture", "accuracy_system", "over_flag_rate"):
        estimate = report["gate"][name]
        assert [metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"]] == [estimate[end] for end in ("value", "low", "high")]
    tags = found.data.tags
    assert [tags["verdict"], tags["champion"], tags["prompt"], tags["model"]] == ["PASS", "true", "classify-001", "smollm2-135m"]
    reasons = read_json(tracked.report(FORGETFUL, "verdict.json"), "")["reasons"]
    assert reasons
    assert all(reason in run_of(tracked, FORGETFUL).data.tags["mlflow.note.content"] for reason in reasons)


def test_the_parent_shows_the_leaderboard_and_leads_to_every_candidate(tracked):
    (parent,) = runs(tracked, "tags.result_key LIKE '%'")
    for child in runs(tracked, "tags.candidate LIKE '%'"):
        assert f"/runs/{child.info.run_id})" in parent.data.tags["mlflow.note.content"]


def test_the_figures_and_the_prompt_are_artifacts_beside_the_database(tracked_once, tracked, client):
    paths = {artifact.path for artifact in client.list_artifacts(run_of(tracked, GOOD).info.run_id)}
    figures = {"reliability.png", "confusion.png", "risk_coverage.png", "threshold_price.png"}
    assert paths == {*figures, "outcomes.json", "classify-001.yaml"}
    assert run_of(tracked, GOOD).info.artifact_uri.startswith(f"file://{tracked_once.root}/mlflow/artifacts")


def test_the_outcomes_are_a_table_that_can_be_filtered(tracked, client, at_store):
    found = run_of(tracked, FORGETFUL)
    table = client.load_table(found.info.experiment_id, "outcomes.json", [found.info.run_id])
    scored = {row.id: row for row in read_outcomes(tracked.report(FORGETFUL, "outcomes.jsonl"))}
    missed = set(table[(table.label == "safety_compliance") & ~table.right].id)
    assert missed
    assert all(scored[name].classification.decision.category != scored[name].label for name in missed)
    assert len(table) == 700
    assert table.message.str.len().min() > 0


def test_the_gate_split_is_a_dataset_input_with_its_digest(tracked):
    inputs = [run_of(tracked, name).inputs.dataset_inputs[0].dataset for name in tracked.candidates()]
    data = read_json(tracked.report(GOOD, "metrics.json"), "")["of"]["data"]
    assert {(dataset.name, dataset.digest) for dataset in inputs} == {("gate", data["gate"][:36])}


def test_prompts_are_versions_with_aliases_and_linked_to_their_runs(tracked, client):
    champion, challenger = (client.get_prompt_version_by_alias("classify", alias) for alias in ("champion", "challenger"))
    assert "Sort the message." in champion.template
    assert [champion.tags["prompt"], challenger.tags["prompt"]] == ["classify-001", "classify-002"]
    found = run_of(tracked, GOOD)
    assert found.data.tags["prompt_uri"] == f"prompts:/classify/{champion.version}"
    assert f'"version": "{champion.version}"' in found.data.tags["mlflow.linkedPrompts"]
    assert set(champion.tags["mlflow.prompt.run_ids"].split(",")) == {run_of(tracked, name).info.run_id for name in (GOOD, f"fused-{GOOD}")}


@dataclass(frozen=True)
class Relogged:
    workspace: Workspace
    before: set[str]  # run ids
    made: list[str]  # run names
    under_way: set[str]  # run ids of loggings that others may still be at
    dead: str


@pytest.fixture(scope="module")
def relogged(tracked_once, tmp_path_factory):
    """The champion's candidate changed after it was logged; logging that stopped at the third entry, and was then done again."""
    workspace = Workspace(shutil.copytree(tracked_once.root, tmp_path_factory.mktemp("relogged") / "project"))
    client = mlflow.MlflowClient(tracking_uri(workspace))
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    before = {run.info.run_id for run in runs(workspace)}
    here, nobody = socket.gethostname(), 2**22 + 1  # above the highest process id
    alive, elsewhere, dead = (
        client.create_run(experiment, tags={"result_key": "incomplete", "logged_by": by}).info.run_id
        for by in (f"{here}:{os.getpid()}", "another:1", f"{here}:{nobody}")
    )
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("local_threshold: 0.5", "local_threshold: 0.3"))
    for verb in (["score", GOOD], ["gate", GOOD, "--exit-zero"], ["compare"]):
        assert evals(workspace, *verb) == 0
    third = read_json(workspace.reports / "leaderboard.json", "")["candidates"][2]["candidate"]
    kept = shutil.move(workspace.report(third, "outcomes.jsonl"), workspace.root / "away")
    with pytest.raises(EvalError, match=r"outcomes\.jsonl is missing"):
        track(workspace)
    shutil.move(kept, workspace.report(third, "outcomes.jsonl"))
    return Relogged(workspace, before, track(workspace), {alive, elsewhere}, dead)


def test_a_changed_result_is_logged_anew_but_neither_its_prompts_nor_its_model_are(relogged):
    client = mlflow.MlflowClient(tracking_uri(relogged.workspace))
    assert set(relogged.made[1:]) >= set(relogged.workspace.candidates())
    assert len(client.search_prompt_versions("classify")) == 2
    assert len(client.search_model_versions()) == 1


def test_a_release_whose_candidate_has_changed_is_logged_beside_it(relogged):
    (released,) = set(relogged.made[1:]) - set(relogged.workspace.candidates())
    newest = runs(relogged.workspace, "tags.champion = 'true'")[0]
    assert newest.info.run_name == released
    board = read_json(relogged.workspace.reports / "leaderboard.json", "")
    shown = next(entry for entry in board["candidates"] if entry["candidate"] == released)
    assert newest.data.metrics["over_flag_rate"] == shown["over_flag_rate"]["value"]


def test_an_interrupted_logging_is_done_again_and_leaves_no_double(relogged):
    fresh = [run.info.run_name for run in runs(relogged.workspace) if run.info.run_id not in relogged.before | relogged.under_way]
    assert sorted(fresh) == sorted(relogged.made)


def test_a_logging_under_way_elsewhere_is_left_alone_and_a_dead_one_is_not(relogged):
    left = {run.info.run_id for run in runs(relogged.workspace, "tags.result_key = 'incomplete'")}
    assert left == relogged.under_way
    assert relogged.dead not in left
