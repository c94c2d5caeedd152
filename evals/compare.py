"""Set all candidates side by side: ``entries/*.json -> leaderboard.{json,md}``, and every pair of them."""

from __future__ import annotations

from typing import Any

from evals.champion import FOLDER as CHAMPION
from evals.data import Split
from evals.details import details
from evals.leaderboard import markdown
from evals.pairs import compare_all, pareto_front
from evals.ranking import rank, read_entries
from evals.reliability import reliability
from evals.scored import Scored, read_outcomes
from evals.verdict import champion_entry
from evals.workspace import Workspace, write_json, write_lines
from orchestrator.local_classifier import CANDIDATE as LOCAL


def compare(workspace: Workspace) -> dict[str, Any]:
    """Write and return the leaderboard, best first: champion, then gate passers, by out-of-fold NLL."""
    entries = read_entries(workspace)
    if not any(entry["champion"] for entry in entries) and (champion := champion_entry(workspace)):
        entries.append(champion)
    entries.sort(key=rank)
    board = {
        "split": Split.GATE.value,
        "n": entries[0]["accuracy_system"]["n"],
        "candidates": entries,
        "pareto_front": pareto_front(entries),
        "remarks": remarks(entries),
    }
    write_json(workspace.reports / "leaderboard.json", board)
    write_lines(workspace.reports / "leaderboard.md", markdown(board))
    gate = {entry["candidate"]: _gate_rows(workspace, entry["candidate"]) for entry in entries}
    pairs = compare_all(gate, seed=workspace.params().seed)
    write_json(workspace.reports / "comparison.json", pairs)
    write_lines(workspace.reports / "comparison.md", details(board, pairs))
    write_lines(workspace.reports / "plots" / "reliability.csv", reliability_csv(gate))
    write_lines(workspace.reports / "plots" / "price.csv", price_csv(entries))
    write_lines(workspace.reports / "plots" / "confusion.csv", confusion_csv(gate[entries[0]["candidate"]]))
    return board


def reliability_csv(gate: dict[str, list[Scored]]) -> list[str]:
    """Return the calibrated reliability of every candidate as CSV lines, for `dvc plots`."""
    lines = ["candidate,confidence,accuracy,n"]
    for candidate, rows in gate.items():
        lines += [f"{candidate},{x:.4f},{y:.4f},{n}" for x, y, n in reliability(rows, calibrated=True)]
    return lines


def price_csv(entries: list[dict[str, Any]]) -> list[str]:
    """Return what each bound on the false negative rate costs every candidate as CSV lines, for `dvc plots`."""
    lines = ["candidate,alpha,over_flag,capture,certified"]
    for entry in entries:
        for step in entry["price"]:
            over, capture = step["over_flag_gate"]["value"], step["capture_gate"]["value"]
            certified = str(step["threshold"]["certified"]).lower()
            lines.append(f"{entry['candidate']},{step['threshold']['alpha']},{over or 0.0:.4f},{capture or 0.0:.4f},{certified}")
    return lines


def confusion_csv(rows: list[Scored]) -> list[str]:
    """Return label and decision of every row of the first candidate as CSV lines, for `dvc plots`."""
    return ["label,decided", *(f"{row.label.value},{row.classification.decision.category.value}" for row in rows)]


def remarks(entries: list[dict[str, Any]]) -> list[str]:
    """Return what the numbers say in words: who leads, and whether the LLM is worth it."""
    prompts = [entry for entry in entries if entry["prompt"] is not None and not entry["fusion"]]
    fused = [entry for entry in entries if entry["fusion"]]
    local = next((entry for entry in entries if entry["candidate"] == LOCAL), None)
    said = []
    champion = next((entry for entry in entries if entry["champion"]), None)
    said.append(f"Champion: {champion['candidate']}." if champion else "There is no champion yet: promote a candidate.")
    if champion and any(champion["candidate"].startswith(f"{entry['candidate']}-") for entry in prompts):
        said.append("That is the release as it was promoted; the candidate of its name has the present examples and calibration.")
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
    return said + [_fusion_remark(entry) for entry in fused]


def _fusion_remark(entry: dict[str, Any]) -> str:
    found = entry["fusion"]
    if "nll" not in found:
        return f"{entry['candidate']}: not fused, {found['reason']}."
    parts = (
        f"out-of-fold NLL {found['nll']:.4f} against {found['nll_llm']:.4f} of the LLM and {found['nll_local']:.4f} of the local classifier"
    )
    gain = f"gain on the better {found['gain']:+.4f} [{found['gain_low']:+.4f}, {found['gain_high']:+.4f}]"
    kept = "the fusion beats both and is used" if found["kept"] else "the fusion does not beat both and is not used"
    return f"{entry['candidate']}: {kept}; {parts}; {gain}."


def _gate_rows(workspace: Workspace, candidate: str) -> list[Scored]:
    folder = candidate if candidate in workspace.candidates() else CHAMPION
    rows = read_outcomes(workspace.report(folder, "outcomes.jsonl"))
    return [row for row in rows if row.split == Split.GATE]
