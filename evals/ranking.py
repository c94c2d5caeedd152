"""In which order candidates stand: those that pass the gate first, by out-of-fold NLL, then accuracy, then cost. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evals.gate import Verdict
from evals.workspace import Workspace, read_json

ORDER = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


def rank(entry: dict[str, Any]) -> tuple[bool, int, float, float, float, str]:
    """Return the sort key of an entry of the leaderboard: the champion stands first."""
    loss = entry["nll_out_of_fold"]
    accuracy = entry["accuracy_system"]["value"] or 0.0
    return (
        not entry["champion"],
        ORDER[Verdict(entry["verdict"])],
        math.inf if loss is None else loss,
        -accuracy,
        entry["usd_per_1000"],
        entry["candidate"],
    )


def passers(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries that pass the gate, the one to be sent to the sealed split first; the champion has no advantage."""
    passing = [entry for entry in entries if entry["verdict"] == Verdict.PASS]
    return sorted(passing, key=lambda entry: rank(entry)[1:])


def read_entries(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the entries of all candidates; raise ``EvalError`` when one is missing."""
    return [read_json(workspace.reports / "entries" / f"{name}.json", "run `dvc repro`") for name in workspace.candidates()]
