"""The verb that sets a challenger beside the champion on live traffic."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evals.commands.online import open_trail, parse_moment
from evals.errors import EvalError
from evals.workspace import Workspace
from orchestrator.schema import CATEGORIES, Category

if TYPE_CHECKING:
    from rich.console import Console

    from evals.comparisons import Paired, Report
    from evals.intervals import Estimate
    from orchestrator.store.comparisons import Pair

SHOWN = 20  # ids on the screen; --json has all


def do_shadow(_workspace: Workspace, options: argparse.Namespace) -> int:
    """Print what two releases decided about the same messages; return 0, however it is."""
    from evals.comparisons import compare

    since = None if options.since is None else parse_moment(options.since)
    with open_trail(options.database) as trail:
        pair = _chosen(trail.compared_pairs(), options.champion, options.challenger)
        labels = {row["id"]: Category(row["label"]) for row in trail.labelled()}
        report = compare(pair, trail.comparisons(pair, since), labels)
    print(report.model_dump_json(indent=2)) if options.json else _print(report)
    return 0


def _chosen(pairs: list[Pair], champion: str | None, challenger: str | None) -> Pair:
    """Return the pair that was compared last, of those wanted."""
    for pair in pairs:
        if champion in {None, pair.champion} and challenger in {None, pair.challenger}:
            return pair
    known = ", ".join(f"{pair.challenger} against {pair.champion}" for pair in pairs) or "none"
    raise EvalError(f"no such releases were compared here; known: {known}. Try one: PUT /api/v1/releases/challenger, see docs/rollout.md")


def _print(report: Report) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    modes = ", ".join(f"{count} {mode}" for mode, count in sorted(report.by_mode.items())) or "none"
    span = f", {report.first:%Y-%m-%d %H:%M} to {report.last:%Y-%m-%d %H:%M} UTC" if report.first and report.last else ""
    told = f"Challenger {report.challenger} against {report.champion} on {report.agreement.n} messages ({modes}{span})"
    console.print(told, highlight=False, markup=False)
    _print_pairs(console, report)
    _print_table(console, report)
    for name, ids in (("the champion alone routes as safety", report.missed), ("the challenger alone routes as safety", report.added)):
        more = f" and {len(ids) - SHOWN} more (--json)" if len(ids) > SHOWN else ""
        console.print(f"• {len(ids)} {name}: {', '.join(ids[:SHOWN]) or 'none'}{more}", highlight=False, markup=False)
    others = report.labelled.others
    console.print(
        f"• {others} label(s) outside the random sample are not counted: people see what the champion doubts.",
        highlight=False,
        markup=False,
    )


def _print_pairs(console: Console, report: Report) -> None:
    from rich.table import Table

    table = Table()
    for name in ("share", "n", "champion [95 %]", "challenger [95 %]", "only champion", "only challenger", "p"):
        table.add_column(name, justify="left" if name == "share" else "right")
    table.add_row("in agreement", str(report.agreement.n), "", _estimate(report.agreement), "", "", "")
    for name, paired in (
        ("routed as safety", report.safety),
        ("degraded", report.degraded),
        ("right, by label", report.labelled.right),
        ("safety by label, routed so", report.labelled.safety_routed),
    ):
        table.add_row(name, *_cells(paired))
    console.print(table)


def _print_table(console: Console, report: Report) -> None:
    from rich.table import Table

    table = Table("champion ↓ challenger →", *[category.value for category in CATEGORIES])
    for category in CATEGORIES:
        table.add_row(category.value, *[str(report.table[category][theirs]) for theirs in CATEGORIES])
    console.print(table)


def _cells(paired: Paired) -> list[str]:
    both = [_estimate(paired.champion), _estimate(paired.challenger)]
    return [str(paired.champion.n), *both, str(paired.only_champion), str(paired.only_challenger), f"{paired.p:.3g}"]


def _estimate(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.3f} \\[{estimate.low:.3f}, {estimate.high:.3f}]"
