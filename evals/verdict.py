"""Judge one candidate's files against the champion's, and write its verdict and leaderboard entry."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from evals.champion import FOLDER as CHAMPION
from evals.champion import compared_data, compared_rows, current_release, read_champion
from evals.errors import EvalError
from evals.gate import gate
from evals.keys import PACKAGES, differing, digest, result_parts
from evals.ledger import record, standing
from evals.run import evaluated_rows
from evals.score import asked_of, measure
from evals.scored import Scored, read_outcomes
from evals.suites import suite_report, suite_summary
from evals.workspace import Candidate, Workspace, read_json, write_json
from orchestrator.catalogue import find_model
from orchestrator.local_classifier import LocalClassifier


def judge_candidate(workspace: Workspace, candidate: Candidate) -> dict[str, Any]:
    """Return the gate's verdict on a candidate from its files. Files that do not fit together fail it.

    One verdict stands per key, which is the hash of prompt, model, decoding, data, code, champion and tolerances: where it was
    given before it is given again, whatever the outcomes say now.
    """
    rows = compared_rows(workspace)
    champion, champion_outcomes = read_champion(workspace)
    outcomes, report, doubts = _trusted_outcomes(workspace, candidate.id)
    parts = _present_parts(workspace, candidate)
    if outcomes and (foreign := differing(parts, report.get("of", {}))):
        doubts.append(f"the outcomes are of other {', '.join(foreign)}: run `dvc repro`")
    doubts += _champion_doubts(workspace, champion)
    params = workspace.params().gate
    verdict = gate(outcomes, champion_outcomes, [row.id for row in rows], params, doubts=doubts)
    key = digest({"of": parts, "champion": champion["release"], "params": params.model_dump(), "gate": _gate_code()})
    verdict |= {"key": key, "release": champion["release"], "candidate": candidate.id, "outcomes_sha256": report.get("outcomes_sha256")}
    verdict["released"] = candidate.id == champion["candidate"] and _same_answers(outcomes, champion_outcomes or [])
    verdict["champion"] = champion["candidate"]
    return _as_given(workspace, verdict)


def write_verdict(workspace: Workspace, candidate: Candidate) -> dict[str, Any]:
    """Write ``reports/<candidate>/verdict.json`` and the candidate's entry for the leaderboard; record the verdict for its key."""
    verdict = judge_candidate(workspace, candidate)
    if verdict["judged"]:
        record(workspace.verdicts, verdict)
    write_json(workspace.report(candidate.id, "verdict.json"), verdict)
    report = read_json(workspace.report(candidate.id, "metrics.json"), "run `dvc repro`")
    write_json(workspace.reports / "entries" / f"{candidate.id}.json", entry(report, verdict))
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
        "nll_raw_calibration": report["fit"]["nll_raw"],
        "threshold": report["fit"]["threshold"]["value"],
        "price": report.get("price", []),
        "calibration": report["calibration"],
        "bands": report["bands"],
        "fusion": report["fit"].get("fusion"),
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
    fresh = measure(outcomes, workspace.params()) | {"candidate": name, "robustness": suite_summary(suite_report(outcomes))}
    return release.evidence()["metrics"] | fresh, outcomes


def champion_verdict(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the gate says of the champion against itself, from its own run; None without one."""
    identity, outcomes = read_champion(workspace)
    if outcomes is None:
        return None
    doubts = _champion_doubts(workspace, identity)
    verdict = gate(outcomes, outcomes, [row.id for row in compared_rows(workspace)], workspace.params().gate, doubts=doubts)
    parts = {"release": identity["release"], "data": compared_data(workspace), "gate": _gate_code()}
    return {"released": True, "key": digest(parts), "release": identity["release"], "champion": identity["candidate"], **verdict}


def champion_entry(workspace: Workspace) -> dict[str, Any] | None:
    """Return the champion's entry from its own run, for boards whose candidates it is not among; None without one."""
    measured, verdict = champion_report(workspace), champion_verdict(workspace)
    return entry(measured[0], verdict) if measured and verdict else None


def _same_answers(outcomes: list[Scored], champion: list[Scored]) -> bool:
    """Say whether a candidate answers every row that the champion was run on as the champion does; time and tokens apart."""
    mine = {row.id: row.classification.model_dump(exclude={"usage"}) for row in outcomes}
    return bool(champion) and all(mine.get(row.id) == row.classification.model_dump(exclude={"usage"}) for row in champion)


def _as_given(workspace: Workspace, verdict: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict that stands for the key; the files' own where none was given, or where they are not sound."""
    given = standing(workspace.verdicts, verdict["key"]) if verdict["judged"] else None
    if given is None:
        return verdict
    other = given["outcomes_sha256"] != verdict["outcomes_sha256"]
    return {
        **verdict,
        **{name: given[name] for name in ("verdict", "reasons", "n", "checks")},
        "standing": "given before on other outcomes of the same key" if other else "given before",
    }


def _present_parts(workspace: Workspace, candidate: Candidate) -> dict[str, Any]:
    local = LocalClassifier.load(workspace.classifier)
    model = None if candidate.model is None else find_model(candidate.model)
    return result_parts(workspace, candidate, evaluated_rows(workspace), asked_of(workspace, candidate, local), model)


def _champion_doubts(workspace: Workspace, champion: dict[str, Any]) -> list[str]:
    doubts = []
    release = current_release(workspace)
    if champion["release"] != (release.manifest.id if release else None):
        doubts.append(f"the champion's outcomes are of release {champion['release']}, the champion is another by now: run `dvc repro`")
    if sha256(workspace.report(CHAMPION, "outcomes.jsonl")) != champion["outcomes_sha256"]:
        doubts.append("the champion's outcomes were edited: run `dvc repro`")
    if foreign := differing(compared_data(workspace), champion.get("data", {})):
        doubts.append(f"the champion's outcomes are of other data ({', '.join(foreign)} changed): run `dvc repro`")
    return doubts


def _trusted_outcomes(workspace: Workspace, candidate: str) -> tuple[list[Scored], dict[str, Any], list[str]]:
    """Return a candidate's outcomes and metrics, and what speaks against trusting them."""
    path = workspace.report(candidate, "outcomes.jsonl")
    try:
        report = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`")
        outcomes = read_outcomes(path)
    except EvalError as error:
        return [], {}, [str(error)]
    doubts = []
    if report.get("candidate") != candidate:
        doubts.append(f"metrics.json is of {report.get('candidate')!r}, not of {candidate!r}")
    if sha256(path) != report.get("outcomes_sha256"):
        doubts.append("the outcomes were edited after they were scored (their hash is not the one in metrics.json)")
    return outcomes, report, doubts


def sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


@cache
def _gate_code() -> str:
    files = ("evals/gate.py", "evals/intervals.py", "evals/suites.py", "evals/verdict.py")
    return digest({name: sha256(PACKAGES / name) for name in files})
