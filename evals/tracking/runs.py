"""A parent run per state of the reports, a child per candidate, each logged once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.champion import FOLDER as CHAMPION
from evals.champion import current_release
from evals.data import Split, load_splits, split_digest
from evals.tracking.candidate import Candidates
from evals.tracking.interrupted import INCOMPLETE, KEY, delete_interrupted, logged_by
from evals.tracking.model import register_champion
from evals.tracking.notes import NOTE, evaluation_note
from evals.tracking.prompts import name_runs, register_prompts
from evals.tracking.session import Session, opened
from evals.tracking.view import share_view
from evals.workspace import Workspace, read_json

if TYPE_CHECKING:
    from mlflow.entities import Run

FORMAT = 2  # what a run holds; raise it when that changes, so that the committed results are logged anew
FILES = ("leaderboard.json", "leaderboard.md", "comparison.md", "data_card.md")


def track(workspace: Workspace) -> list[str]:
    """Log every result that is not logged yet, and return the names of the runs made."""
    board = read_json(workspace.reports / "leaderboard.json", "run `dvc repro`")
    key = _digest(workspace, board)
    with opened(workspace) as session:
        made = []
        if find_evaluation(session, key) is None:
            delete_interrupted(session)
            made = _log(session, workspace, board, key)
        share_view(session, key[:8])
    return made


def find_evaluation(session: Session, key: str) -> Run | None:
    """Return the completely logged parent run of a state of the reports, or None."""
    found = session.client.search_runs([session.experiment], f"tags.{KEY} = '{key}'", max_results=1)
    return found[0] if found else None


def find_children(session: Session, workspace: Workspace) -> dict[str, str]:
    """Return the ids of the runs of the present reports, by candidate; none where they are not logged."""
    board = read_json(workspace.reports / "leaderboard.json", "run `dvc repro`")
    parent = find_evaluation(session, _digest(workspace, board))
    if parent is None:
        return {}
    children = session.client.search_runs([session.experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    return {child.data.tags["candidate"]: child.info.run_id for child in children if "candidate" in child.data.tags}


def _log(session: Session, workspace: Workspace, board: dict[str, Any], key: str) -> list[str]:
    import mlflow

    name = f"evaluation {key[:8]}"
    prompts = register_prompts(session, workspace, board)
    children: dict[str, str] = {}
    tags = {KEY: INCOMPLETE, "evaluation": key[:8]} | logged_by()
    with mlflow.start_run(experiment_id=session.experiment, run_name=name, tags=tags) as parent:
        mlflow.log_params(_flat(workspace.params().model_dump(mode="json")))
        for file in FILES:
            if (path := workspace.reports / file).exists():
                mlflow.log_artifact(str(path))
        log_candidate = Candidates(session, workspace, key[:8], _gate_data(workspace), prompts)
        for rank, entry in enumerate(board["candidates"], 1):
            children[entry["candidate"]] = log_candidate(entry, rank, parent.info.run_id)
            if entry["champion"]:
                register_champion(session, workspace, entry, children[entry["candidate"]], prompts)
        note = evaluation_note(board, session.experiment, children)
        session.client.set_tag(parent.info.run_id, NOTE, note)
        name_runs(session, session.client.search_runs([session.experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"))
    session.client.set_tag(parent.info.run_id, KEY, key)  # last, so that an interrupted logging is done again
    return [name, *children]


def _gate_data(workspace: Workspace) -> Any:
    """Return the gate split as an MLflow dataset, its digest that of the split."""
    import mlflow
    import pandas as pd
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at run time

    rows = load_splits(workspace.datasets, [Split.GATE])
    data = pd.DataFrame([row.model_dump(mode="json") for row in rows])
    digest = split_digest(rows)[:36]  # all that MLflow keeps
    source = LocalArtifactDatasetSource("datasets/gate.jsonl")
    return mlflow.data.from_pandas(data, source=source, name="gate", targets="label", digest=digest)  # type: ignore[attr-defined]  # lazily loaded


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _digest(workspace: Workspace, board: dict[str, Any]) -> str:
    """Return the hash of everything that is logged."""
    release = current_release(workspace)
    parts = {
        "format": FORMAT,
        "board": board,
        "params": workspace.params().model_dump(mode="json"),
        "release": release and release.manifest.id,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for folder in (*workspace.candidates(), CHAMPION):
        for name in ("metrics.json", "outcomes.jsonl", "verdict.json"):
            digest.update(_bytes(workspace.report(folder, name)))
    return digest.hexdigest()


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
