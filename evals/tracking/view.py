"""The runs table as it is best read: a link that opens the MLflow UI on the candidates of one evaluation, in the leaderboard's order.

The UI keeps a view that somebody shares in a tag of the experiment, and a link names it by ``viewStateShareKey``. This is such a view.
"""

from __future__ import annotations

import json

from evals.tracking.session import Session, opened
from evals.workspace import Workspace

NAME = "candidates"
COLUMNS = (
    "tags.`verdict`",
    "tags.`champion`",
    "metrics.`rank`",
    "metrics.`accuracy_system`",
    "metrics.`safety_recall`",
    "metrics.`safety_capture`",
    "metrics.`over_flag_rate`",
    "metrics.`brier_calibrated`",
    "metrics.`latency_p50_s`",
    "params.`prompt`",
    "params.`model`",
)
RUN_NAME = "attributes.`Run Name`"


def share_view(session: Session, evaluation: str) -> None:
    """Let the link show the candidates of an evaluation, by the tag they carry."""
    name, value = f"mlflow.sharedViewState.{NAME}", json.dumps(_view(evaluation))
    if session.client.get_experiment(session.experiment).tags.get(name) != value:
        session.client.set_experiment_tag(session.experiment, name, value)


def view_url(workspace: Workspace, ui: str) -> str:
    """Return the address of the runs table in the UI, which is at ``ui``."""
    with opened(workspace) as session:
        return f"{ui.rstrip('/')}/#/experiments/{session.experiment}/runs?viewStateShareKey={NAME}"


def _view(evaluation: str) -> dict[str, object]:
    return {
        "searchFilter": f"tags.candidate LIKE '%' AND tags.evaluation = '{evaluation}'",  # a parent has no tag `candidate`
        "orderByKey": "metrics.`rank`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(COLUMNS),
        "columnOrder": [RUN_NAME, *COLUMNS, "runDateAndNestInfo", "duration"],
        "columnWidths": {RUN_NAME: 300, "tags.`verdict`": 75, "tags.`champion`": 90, "metrics.`rank`": 65},
    }
