"""Log results to MLflow: a parent run per state of the reports, a child per candidate. The only mlflow import.

Logging is idempotent: runs carry the hash of what they log, and what is there already is not logged again. That is
how a fresh clone is backfilled from the committed reports.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.champion import FOLDER as CHAMPION
from evals.data import Split, load_splits, split_digest
from evals.figures import confusion_figure, price_figure, reliability_figure
from evals.scored import Scored, read_outcomes
from evals.verdict import champion_report
from evals.workspace import Workspace, read_json
from orchestrator.prompts import load_prompt

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "message-classifier"
PROMPT = "classify"
KEY = "result_key"


def tracking_uri(workspace: Workspace) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the local SQLite store, absolute so that the working directory is no matter."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(workspace.root / 'mlflow' / 'mlflow.db').resolve()}"


def track(workspace: Workspace) -> list[str]:
    """Log every result that is not logged yet, and return the names of the runs made."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    (workspace.root / "mlflow").mkdir(exist_ok=True)
    artifacts = _artifacts(workspace)  # before MLflow writes the URI that it is given into the environment
    mlflow.set_tracking_uri(tracking_uri(workspace))
    client = mlflow.MlflowClient()
    experiment = _experiment(client, artifacts)
    board = read_json(workspace.reports / "leaderboard.json", "run `dvc repro`")
    key = _digest(workspace, board)
    if client.search_runs([experiment], f"tags.{KEY} = '{key}'", max_results=1):
        return []
    made = [f"evaluation {key[:8]}"]
    with mlflow.start_run(experiment_id=experiment, run_name=made[0], tags={KEY: "incomplete"}) as parent:
        mlflow.log_params(_flat(workspace.params().model_dump(mode="json")))
        for name in ("leaderboard.json", "leaderboard.md"):
            mlflow.log_artifact(str(workspace.reports / name))
        for entry in board["candidates"]:
            _log_candidate(workspace, experiment, entry)
            made.append(entry["candidate"])
    _register_prompts(workspace, board)
    client.set_tag(parent.info.run_id, KEY, key)  # last, so that an interrupted logging is done again
    return made


def _artifacts(workspace: Workspace) -> str | None:
    """Return where the local store keeps figures and tables; None for a server, which says so itself."""
    return None if "MLFLOW_TRACKING_URI" in os.environ else (workspace.root / "mlflow" / "artifacts").resolve().as_uri()


def _experiment(client: MlflowClient, artifacts: str | None) -> str:
    existing = client.get_experiment_by_name(EXPERIMENT)
    if existing is not None:
        return str(existing.experiment_id)
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def _log_candidate(workspace: Workspace, experiment: str, entry: dict[str, Any]) -> None:
    import mlflow
    import pandas as pd

    candidate = entry["candidate"]
    report, scored = _result(workspace, candidate)
    outcomes = [row for row in scored if row.split == Split.GATE]
    with mlflow.start_run(experiment_id=experiment, run_name=candidate, nested=True):
        mlflow.set_tags({"verdict": entry["verdict"], "champion": str(entry["champion"]).lower(), "candidate": candidate})
        mlflow.log_params(
            {
                "prompt": entry["prompt"],
                "model": entry["model"],
                "prompt_sha256": report["prompt_sha256"],
                "model_digest": report["model_digest"],
                "calibrator": report["fit"]["calibrator"],
            }
        )
        mlflow.log_metrics(_numbers(report["gate"]) | _numbers({"critical_capture": report["critical"]["safety_capture"]}))
        data = pd.DataFrame([row.model_dump(mode="json") for row in load_splits(workspace.datasets, [Split.GATE])])
        digest = split_digest(load_splits(workspace.datasets, [Split.GATE]))
        dataset = mlflow.data.from_pandas(data, name="gate", targets="label", digest=digest[:36])  # type: ignore[attr-defined]  # lazily loaded
        mlflow.log_input(dataset, context="evaluation")
        mlflow.log_table(_table(outcomes, data), "outcomes.json")
        mlflow.log_figure(reliability_figure(candidate, outcomes), "reliability.png")
        mlflow.log_figure(confusion_figure(candidate, report["confusion"]["system"]), "confusion.png")
        if report.get("price"):
            price = price_figure(candidate, report["price"], workspace.params().safety.alpha)
            mlflow.log_figure(price, "threshold_price.png")
        if entry["prompt"] is not None:
            mlflow.log_artifact(str(workspace.prompts / f"{entry['prompt']}.yaml"))


def _result(workspace: Workspace, candidate: str) -> tuple[dict[str, Any], list[Scored]]:
    """Return the metrics and outcomes behind an entry of the leaderboard: a candidate's, or those of the release shown beside them."""
    if candidate not in workspace.candidates() and (released := champion_report(workspace)):
        return released
    report = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`")
    return report, read_outcomes(workspace.report(candidate, "outcomes.jsonl"))


def _register_prompts(workspace: Workspace, board: dict[str, Any]) -> None:
    """Put each prompt text into the registry once, told apart by its hash, and move the alias ``champion``."""
    import mlflow
    from mlflow import genai
    from mlflow.exceptions import MlflowException

    try:
        known = {v.tags.get("sha256"): int(v.version) for v in mlflow.MlflowClient().search_prompt_versions(PROMPT)}
    except MlflowException:  # nothing is registered yet
        known = {}
    champion = next((entry["prompt"] for entry in board["candidates"] if entry["champion"]), None)
    for name in workspace.params().prompts:
        path = workspace.prompts / f"{name}.yaml"
        prompt = load_prompt(path)
        if prompt.sha256 not in known:
            # Jinja2's syntax is not MLflow's: the file is stored as it is and rendered by us alone.
            tags = {"sha256": prompt.sha256, "prompt": name}
            made = genai.register_prompt(PROMPT, path.read_text(encoding="utf-8"), commit_message=prompt.title, tags=tags)
            known[prompt.sha256] = int(made.version)
        if name == champion:
            genai.set_prompt_alias(PROMPT, "champion", known[prompt.sha256])


def _table(outcomes: list[Scored], data: Any) -> Any:
    import pandas as pd

    texts = dict(zip(data["id"], data["message"], strict=True))
    return pd.DataFrame(
        {
            "id": row.id,
            "message": texts.get(row.id, ""),
            "label": row.label.value,
            "decided": row.classification.decision.category.value,
            "right": row.classification.decision.category == row.label,
            "confidence": row.classification.decision.confidence,
            "p_safety": row.classification.probabilities.safety,
            "path": row.classification.decision.path,
            "channel": row.channel.value,
            "kind": row.kind,
            "failure": row.classification.failure.kind.value if row.classification.failure else "",
        }
        for row in outcomes
    )


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return metrics by name; an estimate becomes three: its value, ``_low`` and ``_high``."""
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            if value["value"] is not None:
                numbers |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        elif value is not None:
            numbers[name] = float(value)
    return numbers


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _digest(workspace: Workspace, board: dict[str, Any]) -> str:
    """Return the hash of everything that is logged."""
    digest = hashlib.sha256(json.dumps(board, sort_keys=True).encode())
    for folder in (*workspace.candidates(), CHAMPION):
        for name in ("metrics.json", "outcomes.jsonl", "verdict.json"):
            digest.update(_bytes(workspace.report(folder, name)))
    return digest.hexdigest()


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def log_promptfoo(workspace: Workspace, candidate: str, summary: dict[str, float], results: Path) -> bool:
    """Log a run through promptfoo, its figures and its file of results, and return True; return False where that file is logged already."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    (workspace.root / "mlflow").mkdir(exist_ok=True)
    artifacts = _artifacts(workspace)
    mlflow.set_tracking_uri(tracking_uri(workspace))
    client = mlflow.MlflowClient()
    experiment = _experiment(client, artifacts)
    key = hashlib.sha256(results.read_bytes()).hexdigest()
    if client.search_runs([experiment], f"tags.{KEY} = '{key}'", max_results=1):
        return False
    with mlflow.start_run(experiment_id=experiment, run_name=f"promptfoo {candidate}", tags={KEY: "incomplete"}) as run:
        mlflow.set_tags({"candidate": candidate, "runner": "promptfoo"})
        mlflow.log_metrics(summary)
        mlflow.log_artifact(str(results))
    client.set_tag(run.info.run_id, KEY, key)
    return True
