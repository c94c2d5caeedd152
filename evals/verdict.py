"""Judge one candidate's files against the champion's, and write its verdict and leaderboard entry."""

from __future__ import annotations

import hashlib
from typing import Any

from evals.champion import compared_rows, current_release, read_champion
from evals.data import Split, split_digest
from evals.errors import EvalError
from evals.gate import gate
from evals.score import measure
from evals.scored import Scored, read_outcomes
from evals.workspace import Workspace, read_json, write_json


def judge_candidate(workspace: Workspace, candidate: str) -> dict[str, Any]:
    """Return the gate's verdict on a candidate from its files. Files that do not fit together fail it."""
    rows = compared_rows(workspace)
    champion, champion_outcomes = read_champion(workspace)
    outcomes, doubts = _trusted_outcomes(workspace, candidate)
    digests = {split: split_digest([row for row in rows if row.split == split]) for split in (Split.GATE, Split.CRITICAL)}
    if outcomes:
        evaluated = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`").get("data", {})
        foreign = [split.value for split, digest in digests.items() if evaluated.get(split.value) != digest]
        if foreign:
            doubts.append(f"the outcomes are of other data ({', '.join(foreign)} changed): run `dvc repro`")
    if champion_outcomes is not None:
        actual = hashlib.sha256((workspace.reports / "champion" / "outcomes.jsonl").read_bytes()).hexdigest()
        if actual != champion["outcomes_sha256"]:
            doubts.append("the champion's outcomes were edited: run `dvc repro`")
    verdict = gate(outcomes, champion_outcomes, [row.id for row in rows], workspace.params().gate, doubts=doubts)
    released = candidate == champion["candidate"] and _same_answers(outcomes, champion_outcomes or [])
    return {"candidate": candidate, "champion": champion["candidate"], "release": champion["release"], "released": released, **verdict}


def write_verdict(workspace: Workspace, candidate: str) -> dict[str, Any]:
    """Write ``reports/<candidate>/verdict.json`` and the candidate's entry for the leaderboard."""
    verdict = judge_candidate(workspace, candidate)
    write_json(workspace.report(candidate, "verdict.json"), verdict)
    report = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`")
    write_json(workspace.reports / "entries" / f"{candidate}.json", entry(report, verdict))
    return verdict


def entry(report: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any]:
    """Return a candidate's entry for the leaderboard from its metrics and its verdict."""
    return {
        "candidate": report["candidate"],
        "prompt": report["prompt"],
        "model": report["model"],
        "champion": verdict["released"],
        "verdict": verdict["verdict"],
        "reasons": verdict["reasons"],
        **report["gate"],
        "critical_capture": report["critical"]["safety_capture"],
        "critical_missed": report["critical"]["missed"],
        "nll_out_of_fold": report["fit"]["nll_out_of_fold"],
        "threshold": report["fit"]["threshold"],
        "robustness": report["robustness"],
    }


def champion_report(workspace: Workspace) -> tuple[dict[str, Any], list[Scored]] | None:
    """Return what was promoted, measured on the present gate and critical rows, and its outcomes there; None without a champion.

    Where a candidate of its name is there, with other examples or another calibration by now, the release tells the two apart.
    """
    identity, outcomes = read_champion(workspace)
    release = current_release(workspace)
    if outcomes is None or release is None:
        return None
    name = identity["candidate"]
    if name in workspace.candidates():
        name = f"{name}-{identity['release']}"
    # The suites are not run on it, so it has no robustness.
    return release.evidence()["metrics"] | measure(outcomes, workspace.params()) | {"candidate": name, "robustness": None}, outcomes


def champion_entry(workspace: Workspace) -> dict[str, Any] | None:
    """Return the champion's entry from its own run, for boards whose candidates it is not among; None without one."""
    measured = champion_report(workspace)
    if measured is None:
        return None
    report, outcomes = measured
    itself = gate(outcomes, outcomes, [row.id for row in compared_rows(workspace)], workspace.params().gate)
    return entry(report, {"released": True, **itself})


def _same_answers(outcomes: list[Scored], champion: list[Scored]) -> bool:
    """Say whether a candidate answers every row that the champion was run on as the champion does; time and tokens apart."""
    mine = {row.id: row.classification.model_dump(exclude={"usage"}) for row in outcomes}
    return bool(champion) and all(mine.get(row.id) == row.classification.model_dump(exclude={"usage"}) for row in champion)


def _trusted_outcomes(workspace: Workspace, candidate: str) -> tuple[list[Scored], list[str]]:
    """Return a candidate's outcomes and what speaks against trusting them."""
    path = workspace.report(candidate, "outcomes.jsonl")
    try:
        report = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`")
        outcomes = read_outcomes(path)
    except EvalError as error:
        return [], [str(error)]
    doubts = []
    if report.get("candidate") != candidate:
        doubts.append(f"metrics.json is of {report.get('candidate')!r}, not of {candidate!r}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != report.get("outcomes_sha256"):
        doubts.append("the outcomes were edited after they were scored (their hash is not the one in metrics.json)")
    return outcomes, doubts
