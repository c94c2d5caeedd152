"""Everything over HTTP: a real ``mlflow server`` on PostgreSQL, one for the module, and its UI in a real browser."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from support import free_port, postgres_database, running

from evals.errors import EvalError
from evals.tracking import EXPERIMENT, track, view_url
from evals.workspace import Workspace, read_json

GOOD = "classify-001_smollm2-135m"


@dataclass(frozen=True)
class Served:
    workspace: Workspace
    address: str
    made: list[str]
    client: mlflow.MlflowClient
    experiment: str

    def runs(self):
        return self.client.search_runs([self.experiment])


@pytest.fixture(scope="module")
def served(promoted_once, tmp_path_factory):
    """A project logged to a server of its own by nothing but its address."""
    folder = tmp_path_factory.mktemp("server")
    workspace = Workspace(shutil.copytree(promoted_once.root, folder / "project", ignore=shutil.ignore_patterns("mlflow")))
    with postgres_database() as database:
        port = free_port()
        command = ["mlflow", "server", "--workers", "1", "--port", str(port), "--backend-store-uri", database]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with running(command, f"http://127.0.0.1:{port}/health", **quiet) as health, pytest.MonkeyPatch.context() as patch:
            address = health.removesuffix("/health")
            patch.setenv("MLFLOW_TRACKING_URI", address)
            made = track(workspace)
            client = mlflow.MlflowClient(address)
            yield Served(workspace, address, made, client, client.get_experiment_by_name(EXPERIMENT).experiment_id)
            mlflow.set_tracking_uri(None)


def test_runs_prompts_and_model_are_on_the_server_and_nothing_is_beside_the_project(served):
    assert {run.info.run_name for run in served.runs()} == set(served.made)
    assert set(served.made[1:]) == set(served.workspace.candidates())
    assert served.client.get_prompt_version_by_alias("classify", "champion").tags["prompt"] == "classify-001"
    assert served.client.get_model_version_by_alias(EXPERIMENT, "champion").tags["candidate"] == GOOD
    assert not (served.workspace.root / "mlflow").exists()


def test_artifacts_go_through_the_server(served, tmp_path):
    run = next(run for run in served.runs() if run.info.run_name == GOOD)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    figure = Path(served.client.download_artifacts(run.info.run_id, "risk_coverage.png", str(tmp_path)))
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_model_loads_from_the_server(served, upstream, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", upstream)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.address)
    mlflow.set_tracking_uri(served.address)
    answers = mlflow.pyfunc.load_model(f"models:/{EXPERIMENT}@champion").predict(pd.DataFrame({"message": ["where is my parcel"]}))
    assert not answers.degraded.any()


def test_logging_again_adds_nothing_on_the_server(served):
    before = len(served.runs())
    assert track(served.workspace) == []
    assert len(served.runs()) == before
    assert len(served.client.search_model_versions()) == 1


def test_a_server_that_is_not_there_is_a_clear_error(served, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(EvalError, match="does not answer"):
        track(served.workspace)


CELLS = """rows => rows.map(row => [row.getAttribute("row-index"), row.querySelector("a")?.innerText,
    row.querySelector("[col-id='metrics.`safety_recall`']")?.innerText])"""


def test_the_ui_lists_the_candidates_and_their_safety_recall(served, browser):
    page = browser.new_page(viewport={"width": 1900, "height": 900})  # wide: columns out of sight are not drawn
    page.goto(view_url(served.workspace, served.address))
    page.get_by_role("link", name=GOOD, exact=True).wait_for(timeout=60_000)
    page.locator("[role=gridcell][col-id='metrics.`safety_recall`']").first.wait_for()
    names, recalls = {}, {}
    for index, name, recall in page.locator("[role=row][row-index]").evaluate_all(CELLS):  # names and metrics are grids side by side
        names |= {index: name} if name else {}
        recalls |= {index: recall} if recall else {}
    shown = {name: float(recalls[index]) for index, name in names.items()}
    reports = {name: read_json(served.workspace.report(name, "metrics.json"), "") for name in served.workspace.candidates()}
    assert shown == {name: pytest.approx(report["gate"]["safety_recall"]["value"]) for name, report in reports.items()}
