"""Log a run of the suites through promptfoo: its figures and its file of results, once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from evals.tracking.interrupted import INCOMPLETE, KEY
from evals.tracking.session import opened
from evals.workspace import Workspace


def log_promptfoo(workspace: Workspace, candidate: str, summary: Mapping[str, float], results: Path) -> bool:
    """Log the results of a candidate and return True; return False where that very file is logged already."""
    key = hashlib.sha256(results.read_bytes()).hexdigest()
    with opened(workspace) as session:
        import mlflow

        if session.client.search_runs([session.experiment], f"tags.{KEY} = '{key}'", max_results=1):
            return False
        tags = {KEY: INCOMPLETE, "candidate": candidate, "runner": "promptfoo"}
        with mlflow.start_run(experiment_id=session.experiment, run_name=f"promptfoo {candidate}", tags=tags) as run:
            mlflow.log_metrics(dict(summary))
            mlflow.log_artifact(str(results))
        session.client.set_tag(run.info.run_id, KEY, key)
    return True
