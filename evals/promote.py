"""Freeze a gate passer as the champion, or put the one before it back. This is the only module that changes it."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.champion import compared_data, current_release
from evals.data import load_examples
from evals.errors import EvalError
from evals.keys import code_digest
from evals.ranking import passers, read_entries
from evals.verdict import judge_candidate
from evals.workspace import Candidate, Workspace, read_json, write_json, write_lines
from orchestrator.classify import Tuning
from orchestrator.local_classifier import CANDIDATE as LOCAL
from orchestrator.prompts import load_prompt
from orchestrator.release import FILES, MANIFEST, Release, load_release, manifest_id

LEDGER = "promoted.json"


def chosen(workspace: Workspace, name: str | None) -> tuple[Candidate, dict[str, Any]]:
    """Return the candidate that may be sent to sealed, and the gate's verdict on it.

    That is the first of the gate passers by out-of-fold NLL, then accuracy, then cost. Raises ``EvalError`` for any other,
    for the local baseline, which has no prompt to promote, and where nobody passes.
    """
    if name is not None and workspace.candidate(name).prompt is None:
        raise EvalError(f"{LOCAL} is the baseline: only a prompt candidate can become champion")
    if name is not None:
        verdict = judge_candidate(workspace, workspace.candidate(name))
        if verdict["verdict"] != "PASS":
            raise EvalError(f"{name} is not promoted, the gate says {verdict['verdict']}: {'; '.join(verdict['reasons'])}")
    ranked = [entry["candidate"] for entry in passers(read_entries(workspace)) if workspace.candidate(entry["candidate"]).prompt]
    if not ranked:
        raise EvalError("no candidate with a prompt passes the gate: `python -m evals leaderboard` has the reasons")
    if name not in {None, ranked[0]}:
        raise EvalError(
            f"{ranked[0]} ranks before {name} among those that pass the gate, and only one is sent to the sealed split: promote that"
            if name in ranked
            else f"{name} passes now, but the leaderboard is of before: run `dvc repro`"
        )
    candidate = workspace.candidate(ranked[0])
    verdict = judge_candidate(workspace, candidate)
    if verdict["verdict"] != "PASS":
        raise EvalError(f"{candidate.id} does not pass the gate any more ({'; '.join(verdict['reasons'])}): run `dvc repro`")
    if verdict["released"]:
        raise EvalError(f"{candidate.id} is the champion already, release {verdict['release']}")
    return candidate, verdict


def freeze(workspace: Workspace, candidate: Candidate, verdict: dict[str, Any], certificate: dict[str, Any]) -> str:
    """Make a certified candidate the champion and return the release's id.

    Raises ``EvalError`` unless gate and certificate both say PASS, or when what was scored has changed since.
    """
    if verdict["verdict"] != "PASS" or certificate["verdict"] != "PASS":
        raise EvalError(f"{candidate.id} is not promoted: it takes PASS at the gate and on the sealed split")
    report = read_json(workspace.report(candidate.id, "metrics.json"), "run `dvc repro`")
    check_promoted(workspace)
    building = workspace.champion.with_name("champion.building")
    shutil.rmtree(building, ignore_errors=True)
    release_id = _build(workspace, building, report, {"verdict": verdict, "certificate": certificate})
    load_release(building)
    _record_prompt(workspace, report)
    _swap_in(workspace, building)
    return release_id


def recertify(workspace: Workspace, release: Release, report: dict[str, Any], grounds: dict[str, Any]) -> str:
    """Freeze the champion anew with evidence measured on the present data, and return its new id; what it answers stays the same.

    Raises ``EvalError`` unless gate and certificate both say PASS. The previous champion stays the previous one.
    """
    if grounds["verdict"]["verdict"] != "PASS" or grounds["certificate"]["verdict"] != "PASS":
        reasons = [*grounds["verdict"]["reasons"], *grounds["certificate"]["reasons"]]
        raise EvalError(f"release {release.manifest.id} is not certified: {'; '.join(reasons)}")
    building = workspace.champion.with_name("champion.building")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(release.folder, building)
    write_json(building / "evidence.json", {"metrics": report, **grounds})
    fields = release.manifest.model_dump(mode="json", exclude={"id"})
    fields["data"] |= compared_data(workspace)
    fields["code"] = code_digest()
    fields["files"]["evidence.json"] = hashlib.sha256((building / "evidence.json").read_bytes()).hexdigest()
    release_id = manifest_id(fields)
    write_json(building / MANIFEST, {"id": release_id, **fields})
    load_release(building)
    replaced = workspace.champion.with_name("champion.replaced")
    workspace.champion.rename(replaced)
    building.rename(workspace.champion)
    shutil.rmtree(replaced)
    return release_id


def rollback(workspace: Workspace) -> str:
    """Put the previous champion back and return its id; a second rollback undoes the first."""
    previous = _previous(workspace)
    if not (previous / MANIFEST).exists():
        raise EvalError("there is no previous champion to go back to")
    restored = load_release(previous).manifest.id
    building = workspace.champion.with_name("champion.building")
    shutil.rmtree(building, ignore_errors=True)
    previous.rename(building)
    _swap_in(workspace, building)
    return restored


def check_promoted(workspace: Workspace) -> None:
    """Raise ``EvalError`` when the file of a prompt that was once promoted has been changed or removed."""
    for prompt, expected in _ledger(workspace).items():
        path = workspace.prompts / f"{prompt}.yaml"
        actual = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        if actual != expected:
            raise EvalError(
                f"{path} was promoted and must not change (SHA-256 {actual}, expected {expected}): "
                "restore it with git, and write your change as a new version"
            )


def _build(workspace: Workspace, folder: Path, report: dict[str, Any], grounds: dict[str, Any]) -> str:
    candidate = report["candidate"]
    prompt = load_prompt(workspace.prompts / f"{report['prompt']}.yaml")
    if prompt.sha256 != report["prompt_sha256"]:
        raise EvalError(f"prompts/{report['prompt']}.yaml was changed after it was scored: run `dvc repro`")
    examples = load_examples(workspace.datasets)
    if prompt.retrieve is None:
        shown = {shot.id for shot in prompt.shots}
        examples = [example for example in examples if example.id in shown]
    write_lines(folder / "examples.jsonl", (example.model_dump_json() for example in examples))
    shutil.copyfile(workspace.prompts / f"{prompt.id}.yaml", folder / f"{prompt.id}.yaml")
    shutil.copyfile(workspace.classifier, folder / "local.json")
    write_json(folder / "evidence.json", {"metrics": report, **grounds})
    names = [f"{prompt.id}.yaml", *FILES]
    tuning = Tuning.model_validate(read_json(workspace.report(candidate, "tuning.json"), "run `dvc repro`"))
    fields: dict[str, Any] = {
        "candidate": candidate,
        "prompt": prompt.id,
        "model": report["model"],
        "model_digest": report["model_digest"],
        "promoted_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "tuning": tuning.model_dump(mode="json"),
        "data": report["of"]["data"],
        "code": report["of"]["code"],
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    release_id = manifest_id(fields)
    write_json(folder / MANIFEST, {"id": release_id, **fields})
    return release_id


def _swap_in(workspace: Workspace, building: Path) -> None:
    """Make ``building`` the champion and the champion the previous one; every step is a rename."""
    previous = _previous(workspace)
    if current_release(workspace) is not None:
        shutil.rmtree(previous, ignore_errors=True)
        workspace.champion.rename(previous)
    else:
        shutil.rmtree(workspace.champion, ignore_errors=True)
    building.rename(workspace.champion)


def _record_prompt(workspace: Workspace, report: dict[str, Any]) -> None:
    write_json(workspace.prompts / LEDGER, _ledger(workspace) | {report["prompt"]: report["prompt_sha256"]})


def _ledger(workspace: Workspace) -> dict[str, str]:
    path = workspace.prompts / LEDGER
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _previous(workspace: Workspace) -> Path:
    return workspace.champion.with_name("champion_previous")
