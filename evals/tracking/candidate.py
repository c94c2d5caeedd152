"""What the run of a candidate holds: metrics, figures, outcomes, its dataset and its prompt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from evals.data import Split
from evals.figures import confusion_figure, price_figure, reliability_figure, risk_coverage_figure
from evals.results import read_result
from evals.scored import Scored
from evals.tracking.notes import NOTE, candidate_note
from evals.tracking.prompts import link_prompt
from evals.tracking.session import Session
from evals.workspace import Workspace


@dataclass(frozen=True)
class Candidates:
    """Logs candidates of one ``evaluation``: ``data`` is their MLflow dataset, ``prompts`` are URIs by SHA-256."""

    session: Session
    workspace: Workspace
    evaluation: str
    data: Any
    prompts: dict[str, str]

    def __call__(self, entry: dict[str, Any], rank: int, parent: str) -> str:
        """Log an entry of the leaderboard, the ``rank``-th from 1, as a child of the run ``parent``, and return the child's id."""
        import mlflow

        result = read_result(self.workspace, entry)
        report, outcomes = result.report, [row for row in result.outcomes if row.split == Split.GATE]
        uri = self.prompts.get(report["prompt_sha256"] or "")
        with mlflow.start_run(
            experiment_id=self.session.experiment, run_name=entry["candidate"], parent_run_id=parent, nested=True
        ) as child:
            run = child.info.run_id
            self._log_numbers(run, entry, rank, report, uri)
            mlflow.log_input(self.data, context="evaluation")
            mlflow.log_table(_table(outcomes, self.data.df), "outcomes.json")
            for name, figure in _figures(self.workspace, entry["candidate"], report, outcomes).items():
                mlflow.log_figure(figure, name)
            if entry["prompt"] is not None:
                mlflow.log_artifact(str(self.workspace.prompts / f"{entry['prompt']}.yaml"))
        if uri is not None:
            link_prompt(self.session, run, uri)
        return str(run)

    def _log_numbers(self, run: str, entry: dict[str, Any], rank: int, report: dict[str, Any], uri: str | None) -> None:
        """Log tags, parameters and metrics in one request."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        tags = {
            "verdict": entry["verdict"],
            "champion": str(entry["champion"]).lower(),
            "candidate": entry["candidate"],
            "evaluation": self.evaluation,
            "prompt": entry["prompt"] or "",
            "model": entry["model"] or "",
            NOTE: candidate_note(entry),
        }
        params = {
            "prompt": entry["prompt"],
            "model": entry["model"],
            "prompt_sha256": report["prompt_sha256"],
            "model_digest": report["model_digest"],
            "calibrator": report["fit"]["calibrator"],
        }
        self.session.client.log_batch(
            run,
            metrics=[Metric(name, value, now, 0) for name, value in ({"rank": float(rank)} | metrics_of(entry, report)).items()],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in (tags | ({"prompt_uri": uri} if uri else {})).items()],
        )


def metrics_of(entry: dict[str, Any], report: dict[str, Any]) -> dict[str, float]:
    """Return the metrics by name; an estimate becomes three: its value, ``_low`` and ``_high``."""
    intervals = {name: value for name, value in report.get("intervals", {}).items() if name in report["gate"]}
    behaviour = (entry["robustness"] or {}).get("system", {})
    others = {
        "critical_capture": report["critical"]["safety_capture"],
        "nll_out_of_fold": entry["nll_out_of_fold"],
        "threshold": entry["threshold"],
    }
    suites = {name: value for name, value in behaviour.items() if isinstance(value, dict) and "low" in value}
    return _numbers(report["gate"] | intervals | others | suites)


def _figures(workspace: Workspace, candidate: str, report: dict[str, Any], outcomes: list[Scored]) -> dict[str, Any]:
    figures = {
        "reliability.png": reliability_figure(candidate, outcomes),
        "confusion.png": confusion_figure(candidate, report["confusion"]["system"]),
        "risk_coverage.png": risk_coverage_figure(candidate, report["risk_coverage"]),
    }
    if report.get("price"):
        figures["threshold_price.png"] = price_figure(candidate, report["price"], workspace.params().safety.alpha)
    return figures


def _table(outcomes: list[Scored], data: Any) -> Any:
    import pandas as pd

    texts = dict(zip(data["id"], data["message"], strict=True))
    return pd.DataFrame(
        {
            "id": row.id,
            "decided": row.classification.decision.category.value,  # the second column is what the UI compares between candidates
            "label": row.label.value,
            "right": row.classification.decision.category == row.label,
            "message": texts.get(row.id, ""),
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
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            if value["value"] is not None:
                numbers |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        elif value is not None:
            numbers[name] = float(value)
    return numbers
