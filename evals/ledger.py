"""The verdicts that were given, one per key for good: ``reports/verdicts.jsonl``.

A verdict on incomplete evidence is not recorded, since it is of the files and not of the candidate: mended, they are judged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evals.errors import EvalError
from evals.workspace import write_lines

KEPT = ("key", "candidate", "release", "verdict", "reasons", "n", "checks", "outcomes_sha256")


def standing(path: Path, key: str) -> dict[str, Any] | None:
    """Return the verdict that was given for a key, or None."""
    return next((entry for entry in recorded(path) if entry["key"] == key), None)


def record(path: Path, verdict: dict[str, Any]) -> None:
    """Add a verdict; the first one of a key stays."""
    entries = recorded(path)
    if all(entry["key"] != verdict["key"] for entry in entries):
        entries.append({name: verdict[name] for name in KEPT})
        write_lines(path, (json.dumps(entry, ensure_ascii=False) for entry in entries))


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return all verdicts in the order they were given; raise ``EvalError`` with file:line for a line that is not one."""
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            entries.append({name: entry[name] for name in KEPT})
        except (ValueError, KeyError, TypeError):
            raise EvalError(f"{path}:{number}: not a verdict: restore the file with git") from None
    return entries
