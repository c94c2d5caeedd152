"""The prompt registry: each prompt text once, told apart by its hash, with the aliases ``champion`` and ``challenger``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.champion import current_release
from evals.tracking.session import Session
from evals.workspace import Workspace
from orchestrator.prompts import load_prompt

if TYPE_CHECKING:
    from mlflow.entities import Run

NAME = "classify"
RUNS = "mlflow.prompt.run_ids"  # the tag that MLflow's UI reads them from


def register_prompts(session: Session, workspace: Workspace, board: Mapping[str, Any]) -> dict[str, str]:
    """Put every prompt that is compared or released into the registry once, set the aliases, and return URIs by SHA-256 of the file."""
    from mlflow import genai

    known = _registered(session)
    for path in _files(workspace):
        prompt = load_prompt(path)
        if prompt.sha256 not in known:
            # Jinja2's syntax is not MLflow's: the file is stored as it is and rendered by us alone.
            tags = {"sha256": prompt.sha256, "prompt": prompt.id}
            made = genai.register_prompt(NAME, path.read_text(encoding="utf-8"), commit_message=prompt.title, tags=tags)
            known[prompt.sha256] = f"prompts:/{NAME}/{made.version}"
    for alias, prompt_file in _leading(workspace, board["candidates"]).items():
        _point(alias, known[load_prompt(prompt_file).sha256] if prompt_file else None)
    return known


def link_prompt(session: Session, run: str, uri: str) -> None:
    """Link a run to the version of the prompt that it is of: the run's page names the prompt."""
    session.client.link_prompt_version_to_run(run, uri)


def name_runs(session: Session, runs: Sequence[Run]) -> None:
    """Link each version of the prompt back to the runs of the last evaluation: its page names them."""
    of: dict[str, list[str]] = {}
    for run in runs:
        if uri := run.data.tags.get("prompt_uri"):
            of.setdefault(uri, []).append(run.info.run_id)
    for uri, ids in of.items():
        session.client.set_prompt_version_tag(NAME, uri.rpartition("/")[2], RUNS, ",".join(ids))


def _leading(workspace: Workspace, entries: Sequence[Mapping[str, Any]]) -> dict[str, Path | None]:
    """Return the prompt file that each alias stands for by now, or None.

    ``champion`` is the prompt of the release. ``challenger`` is the next best: the prompt of the first entry of the leaderboard whose
    prompt is another. The leaderboard is in the order of ``evals.ranking``: who passes the gate first, then by out-of-fold NLL.
    """
    release = current_release(workspace)
    champion = release.manifest.prompt if release else None
    challenger = next((entry["prompt"] for entry in entries if entry["prompt"] not in {None, champion}), None)
    return {
        "champion": workspace.champion / f"{champion}.yaml" if champion else None,
        "challenger": workspace.prompts / f"{challenger}.yaml" if challenger else None,
    }


def _point(alias: str, uri: str | None) -> None:
    """Let an alias stand for a version; take it away where it stands for nothing."""
    from mlflow import genai
    from mlflow.exceptions import MlflowException

    if uri is not None:
        genai.set_prompt_alias(NAME, alias, int(uri.rpartition("/")[2]))
        return
    with suppress(MlflowException):  # there is no such alias, or no prompt at all
        genai.delete_prompt_alias(NAME, alias)


def _registered(session: Session) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        versions = session.client.search_prompt_versions(NAME)
    except MlflowException:  # nothing is registered yet
        return {}
    return {version.tags["sha256"]: f"prompts:/{NAME}/{version.version}" for version in versions if "sha256" in version.tags}


def _files(workspace: Workspace) -> list[Path]:
    release = current_release(workspace)
    released = [] if release is None else [workspace.champion / f"{release.manifest.prompt}.yaml"]
    return [*(workspace.prompts / f"{name}.yaml" for name in workspace.params().prompts), *released]
