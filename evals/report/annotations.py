"""The verdicts as GitHub workflow commands, which GitHub shows beside the line of the prompt that they are of.

FAIL is an error, INCONCLUSIVE a warning, PASS a notice. GitHub shows ten of each per step. Paths are relative to the project's
folder, which must be the repository's. Source of the escaping: actions/toolkit, ``packages/core/src/command.ts``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evals.gate import Verdict
from evals.report.changes import Change
from evals.workspace import Workspace

LEVELS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning", Verdict.PASS: "notice"}
PARAMS = "params.yaml"


@dataclass(frozen=True)
class Place:
    """A line of a file, counted from 1."""

    file: str
    line: int


def annotate(placed: Sequence[tuple[Change, Place]]) -> str:
    """Return one line per candidate: level, place, title and the verdict's reasons."""
    return "".join(f"{_annotation(change, place)}\n" for change, place in placed)


def place_of(workspace: Workspace, change: Change) -> Place:
    """Return where a candidate is written: its prompt's ``system`` line, else its first; the local classifier's threshold without one."""
    prompt = workspace.prompts / f"{change.prompt}.yaml"
    if change.prompt is not None and prompt.is_file():
        return Place(f"{workspace.prompts.name}/{prompt.name}", _line(prompt.read_text(encoding="utf-8"), "system"))
    params = workspace.root / PARAMS
    return Place(PARAMS, _line(params.read_text(encoding="utf-8"), "local_threshold" if change.prompt is None else "prompts"))


def escaped(text: str, *, in_property: bool) -> str:
    """Return text as a workflow command carries it: what would end the command, or a property of it, is percent-encoded."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text


def _annotation(change: Change, place: Place) -> str:
    judgement = change.judgement
    properties = {"file": place.file, "line": str(place.line), "title": f"Gate: {change.verdict.value}, {change.candidate}"}
    listed = ",".join(f"{name}={escaped(value, in_property=True)}" for name, value in properties.items())
    said = "\n".join(judgement.reasons) or ("this is the champion" if judgement.released else "every check holds")
    return f"::{LEVELS[change.verdict]} {listed}::{escaped(said, in_property=False)}"


def _line(text: str, key: str) -> int:
    """Return the line that a YAML key stands on, 1 where it is not there."""
    found = re.search(rf"^[ ]*{key}[ ]*:", text, re.MULTILINE)
    return 1 + text.count("\n", 0, found.start()) if found else 1
