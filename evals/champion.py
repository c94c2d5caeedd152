"""Run the released champion on the present gate, critical and robustness rows, so that candidates are compared like with like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.data import Row, split_digest
from evals.gate import COMPARED
from evals.run import AnswerRow, evaluated_rows, run
from evals.score import judge_rows
from evals.scored import Scored, read_outcomes, write_outcomes
from evals.workspace import Workspace, read_json, write_json
from orchestrator.catalogue import find_model
from orchestrator.llm import LLM
from orchestrator.prompts import Renderer
from orchestrator.release import MANIFEST, Release, load_release
from orchestrator.schema import Answer

FOLDER = "champion"


def current_release(workspace: Workspace) -> Release | None:
    """Return the workspace's champion, verified, or None where nothing has been promoted yet."""
    return load_release(workspace.champion) if (workspace.champion / MANIFEST).exists() else None


def compared_rows(workspace: Workspace) -> list[Row]:
    """Return the rows that candidates and champion are compared on."""
    return [row for row in evaluated_rows(workspace) if row.split in COMPARED]


def compared_data(workspace: Workspace) -> dict[str, str]:
    """Return the hash of each split that candidates and champion are compared on."""
    rows = compared_rows(workspace)
    return {split.value: split_digest([row for row in rows if row.split == split]) for split in COMPARED}


async def run_champion(rows: Sequence[Row], release: Release, llm: LLM, *, concurrency: int) -> list[Scored]:
    """Return the outcomes of a release on ``rows``: asked, and judged with its own frozen calibration and thresholds."""
    answers = await ask_champion(rows, release, llm, concurrency=concurrency)
    return judge_champion(rows, [row.answer for row in answers], release)


async def ask_champion(rows: Sequence[Row], release: Release, llm: LLM, *, concurrency: int) -> list[AnswerRow]:
    """Return what the LLM of a release says of ``rows``."""
    return await run(rows, release.prompt, _renderer(release), llm, concurrency=concurrency, title="champion")


def judge_champion(rows: Sequence[Row], answers: Sequence[Answer], release: Release) -> list[Scored]:
    """Return what a release makes of its LLM's answers, with its calibration and thresholds and the present rules."""
    model, asked = find_model(release.manifest.model), _renderer(release).asked
    return judge_rows(rows, answers, release.local_classifier(), release.manifest.tuning, asked=asked, model=model)


def write_champion(workspace: Workspace, release: Release | None, outcomes: Sequence[Scored]) -> None:
    """Write ``reports/champion/{outcomes.jsonl,champion.json}``; both are empty of content without a champion."""
    digest = write_outcomes(_path(workspace, "outcomes.jsonl"), outcomes)
    identity: dict[str, Any] = {"release": None, "candidate": None, "outcomes_sha256": digest, "data": compared_data(workspace)}
    if release is not None:
        identity |= {"release": release.manifest.id, "candidate": release.manifest.candidate}
    write_json(_path(workspace, "champion.json"), identity)


def read_champion(workspace: Workspace) -> tuple[dict[str, Any], list[Scored] | None]:
    """Return the champion's identity and outcomes; the outcomes are None without a champion."""
    identity = read_json(_path(workspace, "champion.json"), "run `dvc repro`")
    if identity["release"] is None:
        return identity, None
    return identity, read_outcomes(_path(workspace, "outcomes.jsonl"))


def _renderer(release: Release) -> Renderer:
    return Renderer(release.prompt, find_model(release.manifest.model), release.examples)


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.report(FOLDER, name)
