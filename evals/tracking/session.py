"""Open the tracking server: where it is, and the experiment on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.errors import EvalError
from evals.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "message-classifier"
# The UI otherwise guesses from runs and traces which pages an experiment has, and the runs table is not among its first guesses.
KIND = {"mlflow.experimentKind": "custom_model_development"}
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # it tells of every table that it makes
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # otherwise two lines a run
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own 7 wait for two minutes before they say that nobody is there
}


@dataclass(frozen=True)
class Session:
    """An open tracking server and the id of the experiment that results are logged to."""

    client: MlflowClient
    experiment: str


def tracking_uri(workspace: Workspace) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the local SQLite store, absolute so that the working directory is no matter."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(workspace.root / 'mlflow' / 'mlflow.db').resolve()}"


@contextmanager
def opened(workspace: Workspace) -> Iterator[Session]:
    """Yield the tracking server with the experiment made; MLflow's global settings are as before afterwards.

    Raises ``EvalError`` when the server cannot be reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow

    before, uri = os.environ.get("MLFLOW_TRACKING_URI"), tracking_uri(workspace)
    artifacts = None if before else _local_artifacts(workspace)  # a server says itself where it keeps them
    mlflow.set_tracking_uri(uri)  # MLflow writes it into the environment, too
    try:
        client = mlflow.MlflowClient()
        yield Session(client, _experiment(client, uri, artifacts))
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets it, whatever its type says


def _local_artifacts(workspace: Workspace) -> str:
    folder = (workspace.root / "mlflow" / "artifacts").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


def _experiment(client: MlflowClient, uri: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        existing = client.get_experiment_by_name(EXPERIMENT)
        made = existing.experiment_id if existing else client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    except MlflowException as error:
        raise EvalError(
            f"the MLflow server at {uri} does not answer ({str(error)[:200]}): start it, or unset MLFLOW_TRACKING_URI"
        ) from None
    if existing and existing.lifecycle_stage == "deleted":
        raise EvalError(f"the MLflow experiment {EXPERIMENT!r} was deleted: restore it with `mlflow experiments restore -x {made}`")
    tags = existing.tags if existing else {}
    for name, value in KIND.items():
        if tags.get(name) != value:
            client.set_experiment_tag(made, name, value)
    return str(made)
