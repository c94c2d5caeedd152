"""What git knows of the project: which files differ from a commit, and what stood in them there."""

from __future__ import annotations

import shutil
import subprocess  # nosec B404  # git is asked with fixed arguments, never through a shell
from pathlib import Path

from evals.errors import EvalError


def has_commits(root: Path) -> bool:
    """Say whether the repository at ``root`` has any commit yet."""
    return _git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode == 0


def merge_base(root: Path, ref: str) -> str:
    """Return the commit at which the present work left ``ref``; raise ``EvalError`` for an unknown ``ref`` or outside of git."""
    found = _git(root, "merge-base", "HEAD", "--end-of-options", ref)
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip() or "they have no commit in common"
        raise EvalError(f"cannot compare with {ref!r}: {said} (in CI, check out the whole history: fetch-depth: 0)")
    return found.stdout.decode().strip()


def changed_paths(root: Path, commit: str) -> dict[str, str]:
    """Return the files under ``root`` that differ from a commit, as path to ``A`` (added), ``M`` (changed) or ``D`` (gone).

    New files that git does not know yet count as added; what .gitignore names does not count. A renamed file is gone and added.
    """
    listed = _ask(root, "diff", "--relative", "--no-renames", "--name-status", "-z", commit).split("\0")
    changed = {path: status[0] for status, path in zip(listed[0::2], listed[1::2], strict=False)}
    untracked = _ask(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return changed | {path: "A" for path in untracked if path and path not in changed}


def paths_at(root: Path, commit: str, folder: str) -> list[str]:
    """Return the files that stood below a folder at a commit."""
    return [path for path in _ask(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", folder).split("\0") if path]


def text_at(root: Path, commit: str, path: str) -> str | None:
    """Return what a file held at a commit, None where it was not there."""
    found = _git(root, "show", f"{commit}:./{path}")
    return None if found.returncode else found.stdout.decode()


def _ask(root: Path, *arguments: str) -> str:
    answer = _git(root, *arguments)
    if answer.returncode:
        raise EvalError(f"git {arguments[0]}: {answer.stderr.decode(errors='replace').strip()}")
    return answer.stdout.decode()


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None:
        raise EvalError("git is not installed; this verb compares with what is committed")
    return subprocess.run([program, "-C", str(root), *arguments], capture_output=True, check=False)  # noqa: S603  # nosec
