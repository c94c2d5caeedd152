"""What the committed results say of how candidates differ, and the power table that rests on it."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from evals.data import Row, Split, load_split
from evals.errors import EvalError
from evals.power import POWER, Setting, power_table
from evals.workspace import Workspace, read_json
from orchestrator.schema import Category


def observed_setting(
    workspace: Workspace, *, misses: float | None = None, disagreement: float | None = None, other_disagreement: float | None = None
) -> tuple[Setting, float | None]:
    """Return the gate's sizes with the miss rate and the disagreements observed in ``reports/``, and that of accuracy.

    Shares that are given are taken instead. The disagreement in accuracy is None where no champion was compared with anyone.

    Disagreement is the mean, over candidates of the same kind as the champion, of the share of rows on which exactly one
    of the two is right. Raises ``EvalError`` where there are no results and not all shares are given.
    """
    safety, others = _sizes(load_split(workspace.datasets, Split.GATE))
    shares = {"misses": misses, "disagreement": disagreement, "other-disagreement": other_disagreement}
    for name, share in shares.items():
        if share is not None and not 0 <= share < 1:
            raise EvalError(f"--{name} {share}: a share is at least 0 and below 1")
    observed = _observed(workspace) if None in shares.values() else {}
    taken = {name: observed[name] if share is None else share for name, share in shares.items()}
    setting = Setting(safety, others, taken["misses"], taken["disagreement"], taken["other-disagreement"])
    return setting, observed.get("accuracy")


def _observed(workspace: Workspace) -> dict[str, float]:
    board = read_json(workspace.reports / "leaderboard.json", "run `make repro`")
    champion = next((entry for entry in board["candidates"] if entry["champion"]), None)
    if champion is None:
        raise EvalError("there is no champion to compare with: promote one, or give --misses, --disagreement and --other-disagreement")
    prompts = {entry["candidate"] for entry in board["candidates"] if entry["prompt"] is not None}
    pairs = [
        pair
        for pair in read_json(workspace.reports / "comparison.json", "run `make repro`")
        if champion["candidate"] in {pair["candidate"], pair["against"]} and {pair["candidate"], pair["against"]} <= prompts
    ]

    if not pairs:
        raise EvalError(
            "no other prompt was compared with the champion: run one, or give --misses, --disagreement and --other-disagreement"
        )

    def discordance(name: str) -> float:
        return float(mean((pair[name]["gained"] + pair[name]["lost"]) / pair[name]["n"] for pair in pairs))

    return {
        "misses": 1 - champion["safety_capture"]["value"],
        "disagreement": discordance("safety_capture"),
        "other-disagreement": discordance("specificity"),
        "accuracy": discordance("accuracy"),
    }


def power_report(workspace: Workspace, **shares: float | None) -> dict[str, Any]:
    """Return the power table of the present dataset; see ``observed_setting`` for the shares."""
    setting, accuracy = observed_setting(workspace, **shares)
    sealed_safety, sealed_others = _sizes(load_split(workspace.datasets, Split.SEALED))
    sizes = {
        "safety capture, gate": (setting.safety, setting.disagreement),
        "specificity, gate": (setting.others, setting.other_disagreement),
        "safety capture, sealed": (sealed_safety, setting.disagreement),
        "specificity, sealed": (sealed_others, setting.other_disagreement),
    }
    if accuracy is not None:
        sizes["accuracy, gate"] = (setting.safety + setting.others, accuracy)
        sizes["accuracy, sealed"] = (sealed_safety + sealed_others, accuracy)
    return power_table(setting, workspace.params().gate, sizes)


def print_power(workspace: Workspace, **shares: float | None) -> None:
    """Print the power table for a person."""
    report = power_report(workspace, **shares)
    setting, gate = report["setting"], workspace.params().gate
    console = Console()
    console.print(
        f"Gate: {setting['safety']} safety and {setting['others']} other rows, floor {gate.floor}, margin {gate.delta}. "
        f"The champion misses {setting['misses']:.1%}; one of two candidates alone is right on {setting['disagreement']:.1%} of safety "
        f"and {setting['other_disagreement']:.1%} of other rows.",
        highlight=False,
    )
    verdicts = Table(title="Chance of each verdict, by true loss of safety capture")
    for name in ("true loss", "PASS", "INCONCLUSIVE", "FAIL"):
        verdicts.add_column(name, justify="right")
    for line in report["chances"]:
        verdicts.add_row(f"{line['loss']:.0%}", *(f"{line[name]:.1%}" for name in ("passed", "inconclusive", "failed")))
    console.print(verdicts)
    detectable = Table(title=f"Smallest loss that McNemar's test finds {POWER:.0%} of the time")
    for name in ("on", "rows", "disagreement", "loss"):
        detectable.add_column(name, justify="left" if name == "on" else "right")
    for name, line in report["detectable"].items():
        loss = "-" if line["loss"] is None else f"{line['loss']:.1%}"
        detectable.add_row(name, str(line["n"]), f"{line['disagreement']:.1%}", loss)
    console.print(detectable)


def _sizes(rows: list[Row]) -> tuple[int, int]:
    safety = sum(row.label == Category.SAFETY_COMPLIANCE for row in rows)
    return safety, len(rows) - safety
