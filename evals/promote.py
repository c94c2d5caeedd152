"""Freeze a gate passer as the champion, or put the one before it back. This is the only module that changes it."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.champion import current_release
from evals.data import load_examples
from evals.errors import EvalError
from evals.verdict import judge_candidate
from evals.workspace import Workspace, read_json, write_json, write_lines
from orchestrator.classify import Tuning
from orchestrator.local_classifier import CANDIDATE as LOCAL
from orchestrator.prompts import load_prompt
from orchestrator.release import FILES, MANIFEST, load_release, manifest_id

LEDGER = "promoted.json"


def promote(workspace: Workspace, candidate: str) -> str:
    """Make a candidate the champion and return the release's id.

    Raises ``EvalError`` unless the gate says PASS, and for the local baseline, which has no prompt to promote.
    """
    if candidate == LOCAL:
        raise EvalError(f"{LOCAL} is the baseline: only a prompt candidate can become champion")
    verdict = judge_candidate(workspace, candidate)
    if verdict["verdict"] != "PASS":
        raise EvalError(f"{candidate} is not promoted, the gate says {verdict['verdict']}: {'; '.join(verdict['reasons'])}")
    report = read_json(workspace.report(candidate, "metrics.json"), "run `dvc repro`")
    check_promoted(workspace)
    building = workspace.champion.with_name("champion.building")
    shutil.rmtree(building, ignore_errors=True)
    release_id = _build(workspace, building, report, verdict)
    load_release(building)
    _record_prompt(workspace, report)
    _swap_in(workspace, building)
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


def _build(workspace: Workspace, folder: Path, report: dict[str, Any], verdict: dict[str, Any]) -> str:
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
    write_json(folder / "evidence.json", {"metrics": report, "verdict": verdict})
    names = [f"{prompt.id}.yaml", *FILES]
    tuning = Tuning.model_validate(read_json(workspace.report(candidate, "tuning.json"), "run `dvc repro`"))
    fields: dict[str, Any] = {
        "candidate": candidate,
        "prompt": prompt.id,
        "model": report["model"],
        "model_digest": report["model_digest"],
        "promoted_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "tuning": tuning.model_dump(mode="json"),
        "data": report["data"],
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
