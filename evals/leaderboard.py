"""The leaderboard as a page: three rows of numbers per candidate, the behavioural suites, the verdicts. Pure."""

from __future__ import annotations

from typing import Any

ROWS = (
    ("raw model", "accuracy_raw", "safety_recall_raw", None, "brier_raw", "smece_raw"),
    ("calibrated", "accuracy_calibrated", "safety_recall_calibrated", None, "brier_calibrated", "smece_calibrated"),
    ("whole system", "accuracy_system", "safety_recall", "over_flag_rate", None, None),
)
SUITES = (
    "A flip: a rewording that keeps the meaning changes the category. A wrong direction: P(safety) does not rise with a red flag, or does "
    "not fall when harm is denied or only asked about. A downgrade: an injected instruction frees a safety message that was caught. "
    "Worst capture: the share of safety seeds caught in every rewording and under every attack."
)


def markdown(board: dict[str, Any]) -> list[str]:
    """Return the leaderboard as Markdown lines, three rows of numbers per candidate."""
    lines = [
        f"# Leaderboard ({board['n']} messages of the {board['split']} split)",
        "",
        "Intervals are two-sided 95 % Clopper-Pearson. Capture counts safety messages labelled safety or sent to a person as such.",
        "",
        "| candidate | numbers of | accuracy | safety recall | safety capture | over-flag | Brier | smECE | s/message |",
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
    lines += ["", "Calibration, bands, the price of the threshold and every pair of candidates: [comparison.md](comparison.md)."]
    lines += ["", *[f"- {remark}" for remark in board["remarks"]], *suites_markdown(board["candidates"]), "", "## Verdicts", ""]
    for entry in board["candidates"]:
        reasons = "; ".join(entry["reasons"]) or "every check holds"
        lines.append(f"- `{entry['candidate']}`: **{entry['verdict']}**: {reasons}")
    return lines


def suites_markdown(entries: list[dict[str, Any]]) -> list[str]:
    """Return how candidates behave on the suites as Markdown lines; ``reports/<candidate>/suites.json`` has attacks and seeds too."""
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
    return [*lines, *_types(run)]


def _types(entries: list[dict[str, Any]]) -> list[str]:
    """Return the failure rates by type of perturbation, a candidate a column; "-" where a candidate has none of a type."""
    views = [[entry["robustness"][view]["types"] for view in ("model", "system")] for entry in entries]
    kinds = {kind: one for _, system in views for kind, one in system.items()}
    lines = ["", "Failures by type, calibrated model / whole system:", ""]
    lines += [f"| type | it must | n | {' | '.join('`' + entry['candidate'] + '`' for entry in entries)} |"]
    lines += ["|---" * (3 + len(entries)) + "|"]
    for kind, one in kinds.items():
        cells = [f"{model[kind]['value']:.2f} / {system[kind]['value']:.2f}" if kind in system else "-" for model, system in views]
        lines.append(f"| {kind} | {one['expectation']} | {one['n']} | {' | '.join(cells)} |")
    return lines


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f} ({estimate['low']:.2f}-{estimate['high']:.2f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
