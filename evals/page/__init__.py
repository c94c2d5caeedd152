"""The results as one page to open in a browser."""

from __future__ import annotations

from pathlib import Path

from evals.errors import EvalError
from evals.workspace import Workspace


def write_page(workspace: Workspace, path: Path) -> None:
    """Write the page; raise ``EvalError``, for there is none yet."""
    raise EvalError(f"there is no page of {workspace.root} to write to {path} yet: use another --format")
