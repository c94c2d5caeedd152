"""What stands behind an entry of the leaderboard: its metrics, its outcomes and its verdict, read from the reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evals.errors import EvalError
from evals.scored import Scored, read_outcomes
from evals.verdict import champion_report, champion_verdict
from evals.workspace import Workspace, read_json

REMEDY = "run `dvc repro`"


@dataclass(frozen=True)
class Result:
    """One entry of the leaderboard with all that was measured for it."""

    entry: dict[str, Any]
    report: dict[str, Any]
    outcomes: list[Scored]
    verdict: dict[str, Any]

    @property
    def candidate(self) -> str:
        """The id it has on the leaderboard."""
        return str(self.entry["candidate"])


def read_board(workspace: Workspace) -> dict[str, Any]:
    """Return the leaderboard; raise ``EvalError`` where it is missing."""
    board: dict[str, Any] = read_json(workspace.reports / "leaderboard.json", REMEDY)
    return board


def read_results(workspace: Workspace, board: dict[str, Any]) -> list[Result]:
    """Return what stands behind every entry of the leaderboard, in its order; raise ``EvalError`` for what is missing."""
    return [read_result(workspace, entry) for entry in board["candidates"]]


def read_result(workspace: Workspace, entry: dict[str, Any]) -> Result:
    """Return what stands behind an entry: a candidate's files, or those of the release that is shown beside the candidates."""
    name = entry["candidate"]
    if name in workspace.candidates():
        report = read_json(workspace.report(name, "metrics.json"), REMEDY)
        verdict = read_json(workspace.report(name, "verdict.json"), REMEDY)
        return Result(entry, report, read_outcomes(workspace.report(name, "outcomes.jsonl")), verdict)
    released, verdict = champion_report(workspace), champion_verdict(workspace)
    if released is None or verdict is None:
        raise EvalError(f"reports/leaderboard.json has {name!r}, which is neither in params.yaml nor the champion: {REMEDY}")
    return Result(entry, *released, verdict)
