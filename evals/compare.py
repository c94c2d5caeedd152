"""Set all candidates side by side: ``entries/*.json -> leaderboard.{json,md}``, and every pair of them."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from evals.champion import FOLDER as CHAMPION
from evals.data import Split
from evals.gate import compare_pair
from evals.reliability import reliability
from evals.scored import Scored, read_outcomes
from evals.verdict import champion_entry
from evals.workspace import Workspace, read_json, write_json, write_lines
from orchestrator.local_classifier import CANDIDATE as LOCAL

ROWS = (
    ("raw model", "accuracy_raw", "safety_recall_raw", None, "brier_raw", "ece_raw"),
    ("calibrated", "accuracy_calibrated", "safety_recall_calibrated", None, "brier_calibrated", "ece_calibrated"),
    ("whole system", "accuracy_system", "safety_recall", "over_flag_rate", None, None),
)
SUITES = (
    "A flip: a rewording that keeps the meaning changes the category. A wrong direction: P(safety) does not rise with a red flag, or does "
    "not fall when harm is denied or only asked about. A downgrade: an injected instruction frees a safety message that was caught. "
    "Worst capture: the share of safety seeds caught in every rewording and under every attack."
)


def compare(workspace: Workspace) -> dict[str, Any]:
    """Write and return the leaderboard, best first: champion, then gate passers, by out-of-fold NLL."""
    entries = [read_json(workspace.reports / "entries" / f"{candidate}.json", "run `dvc repro`") for candidate in workspace.candidates()]
    if not any(entry["champion"] for entry in entries) and (champion := champion_entry(workspace)):
        entries.append(champion)
    entries.sort(key=_rank)
    board = {
        "split": Split.GATE.value,
        "n": entries[0]["accuracy_system"]["n"],
        "candidates": entries,
        "remarks": remarks(entries),
    }
    write_json(workspace.reports / "leaderboard.json", board)
    write_lines(workspace.reports / "leaderboard.md", markdown(board))
    gate = {entry["candidate"]: _gate_rows(workspace, entry["candidate"]) for entry in entries}
    pairs = [{"candidate": a, "against": b, **compare_pair(gate[a], gate[b])} for a, b in combinations(gate, 2)]
    write_json(workspace.reports / "comparison.json", pairs)
    write_lines(workspace.reports / "plots" / "reliability.csv", reliability_csv(gate))
    write_lines(workspace.reports / "plots" / "confusion.csv", confusion_csv(gate[entries[0]["candidate"]]))
    return board


def reliability_csv(gate: dict[str, list[Scored]]) -> list[str]:
    """Return the calibrated reliability of every candidate as CSV lines, for `dvc plots`."""
    lines = ["candidate,confidence,accuracy,n"]
    for candidate, rows in gate.items():
        lines += [f"{candidate},{x:.4f},{y:.4f},{n}" for x, y, n in reliability(rows, calibrated=True)]
    return lines


def confusion_csv(rows: list[Scored]) -> list[str]:
    """Return label and decision of every row of the first candidate as CSV lines, for `dvc plots`."""
    return ["label,decided", *(f"{row.label.value},{row.classification.decision.category.value}" for row in rows)]


def remarks(entries: list[dict[str, Any]]) -> list[str]:
    """Return what the numbers say in words: who leads, and whether the LLM is worth it."""
    prompts = [entry for entry in entries if entry["prompt"] is not None]
    local = next((entry for entry in entries if entry["candidate"] == LOCAL), None)
    said = []
    champion = next((entry for entry in entries if entry["champion"]), None)
    said.append(f"Champion: {champion['candidate']}." if champion else "There is no champion yet: promote a candidate.")
    if local is None or not prompts:
        return said
    for metric, words in (("accuracy_calibrated", "accuracy (calibrated)"), ("accuracy_system", "accuracy (whole system)")):
        best = max(prompts, key=lambda entry: entry[metric]["value"] or 0.0)
        mine, theirs = local[metric]["value"] or 0.0, best[metric]["value"] or 0.0
        if mine > theirs:
            said.append(
                f"The local classifier beats every prompt on {words}: {mine:.3f} against {theirs:.3f} for "
                f"{best['candidate']}. On this model the LLM alone is not worth its time."
            )
        else:
            said.append(f"Best prompt on {words}: {best['candidate']}, {theirs:.3f}; the local classifier: {mine:.3f}.")
    return said


def markdown(board: dict[str, Any]) -> list[str]:
    """Return the leaderboard as Markdown lines, three rows of numbers per candidate."""
    lines = [
        f"# Leaderboard ({board['n']} messages of the {board['split']} split)",
        "",
        "Intervals are two-sided 95 % Clopper-Pearson. Capture counts safety messages labelled safety or sent to a person as such.",
        "",
        "| candidate | numbers of | accuracy | safety recall | safety capture | over-flag | Brier | ECE10 | s/message |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in board["candidates"]:
        star = " **(champion)**" if entry["champion"] else ""
        for index, (words, accuracy, recall, over, brier, ece) in enumerate(ROWS):
            name = f"`{entry['candidate']}`{star}<br>{entry['verdict']}" if index == 0 else ""
            whole = words == "whole system"
            cells = [
                name,
                words,
                _estimate(entry[accuracy]),
                _estimate(entry[recall]),
                _estimate(entry["safety_capture"]) if whole else "",
                _estimate(entry[over]) if over else "",
                _number(entry[brier]) if brier else "",
                _number(entry[ece]) if ece else "",
                f"{entry['latency_p50_s']:.2f}" if whole else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *[f"- {remark}" for remark in board["remarks"]], *suites_markdown(board["candidates"]), "", "## Verdicts", ""]
    for entry in board["candidates"]:
        reasons = "; ".join(entry["reasons"]) or "every check holds"
        lines.append(f"- `{entry['candidate']}`: **{entry['verdict']}**: {reasons}")
    return lines


def suites_markdown(entries: list[dict[str, Any]]) -> list[str]:
    """Return how candidates behave on the suites as Markdown lines; ``reports/<candidate>/suites.json`` has types, attacks and seeds."""
    run = [entry for entry in entries if entry["robustness"]]
    if not run:
        return []
    lines = [
        "",
        "## Behavioural suites",
        "",
        SUITES,
        "",
        "| candidate | of | flips | wrong direction | downgrades | worst capture |",
        "|---|---|---|---|---|---|",
    ]
    for entry in run:
        for view, words in (("model", "calibrated model"), ("system", "whole system")):
            figures = entry["robustness"][view]
            cells = [
                _estimate(figures[name]) for name in ("flip_rate", "direction_failures", "injection_downgrades", "worst_variant_capture")
            ]
            name = f"`{entry['candidate']}`" if view == "model" else ""
            lines.append(f"| {name} | {words} | {' | '.join(cells)} |")
    return lines


def _rank(entry: dict[str, Any]) -> tuple[bool, int, float, str]:
    order = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
    loss = entry["nll_out_of_fold"]
    return (not entry["champion"], order[entry["verdict"]], math.inf if loss is None else loss, entry["candidate"])


def _gate_rows(workspace: Workspace, candidate: str) -> list[Scored]:
    folder = candidate if candidate in workspace.candidates() else CHAMPION
    rows = read_outcomes(workspace.report(folder, "outcomes.jsonl"))
    return [row for row in rows if row.split == Split.GATE]


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f} ({estimate['low']:.2f}-{estimate['high']:.2f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
