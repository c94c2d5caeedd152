"""Print the leaderboard for a person at a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}


def print_leaderboard(board: dict[str, Any]) -> None:
    """Print one line per candidate, then the verdicts and what the numbers say."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title=f"{board['n']} messages of the {board['split']} split")
    for name in ("candidate", "raw", "calibrated", "system", "recall", "capture [95 %]", "over-flag", "Brier", "s/msg", "verdict"):
        table.add_column(name, justify="left" if name in {"candidate", "verdict"} else "right")
    for entry in board["candidates"]:
        capture = entry["safety_capture"]
        table.add_row(
            entry["candidate"] + (" *" if entry["champion"] else ""),
            *(_share(entry[name]) for name in ("accuracy_raw", "accuracy_calibrated", "accuracy_system", "safety_recall")),
            f"{_share(capture)} \\[{capture['low']:.3f}, {capture['high']:.3f}]",
            _share(entry["over_flag_rate"]),
            f"{entry['brier_raw']:.3f} → {entry['brier_calibrated']:.3f}",
            f"{entry['latency_p50_s']:.2f}",
            f"[{COLOURS[entry['verdict']]}]{entry['verdict']}[/]",
        )
    console.print(table)
    for remark in board["remarks"]:
        console.print(f"• {remark}", highlight=False)
    for entry in board["candidates"]:
        for reason in entry["reasons"]:
            console.print(f"  {entry['candidate']}: {reason}", highlight=False, style="dim")
    champion = next((entry for entry in board["candidates"] if entry["champion"]), None)
    if champion:
        console.print(f"Verdict: champion {champion['candidate']} {champion['verdict']}", style=f"bold {COLOURS[champion['verdict']]}")


def _share(estimate: dict[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.3f}"
