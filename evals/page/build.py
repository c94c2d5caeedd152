"""Put the page together: ``reports/* -> reports/index.html``, one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evals.data import Split
from evals.page.browser import browsed, packed
from evals.page.matrices import PAIR_METRICS, SLICE_METRICS, pair_map, slice_map
from evals.page.names import short_names, slug
from evals.page.overview import gains, pareto, times, whiskers
from evals.page.panels import price_panel, reliability_panel, risk_panel
from evals.results import REMEDY, Result, read_board, read_results
from evals.run import evaluated_rows
from evals.workspace import Workspace, read_json, write_lines

HERE = Path(__file__).resolve().parent


def write_page(workspace: Workspace, path: Path) -> None:
    """Write the page whole or not at all; raise ``EvalError`` where the pipeline has not run."""
    write_lines(path, [page(workspace)])


def page(workspace: Workspace) -> str:
    """Return the page as HTML; the same reports give the same text."""
    board = read_board(workspace)
    results = read_results(workspace, board)
    entries = board["candidates"]
    names = [entry["candidate"] for entry in entries]
    short = short_names(names, [entry["model"] for entry in entries])
    champion = next((result for result in results if result.entry["champion"]), None)
    rows = evaluated_rows(workspace)
    data = browsed(rows, {result.candidate: result.outcomes for result in results}, champion.candidate if champion else None)
    environment = Environment(
        loader=PackageLoader("evals", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        board=board,
        entries=entries,
        champion=champion,
        short=short,
        slug=slug,
        verdicts={result.candidate: result.verdict for result in results if result is not champion and result.verdict["paired"]},
        figures=_figures(workspace, board, results, short),
        panels=_panels(workspace, results, short),
        slice_metrics=SLICE_METRICS,
        pair_metrics=PAIR_METRICS,
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        data=packed(data | {"short": short}),
    )


def _figures(workspace: Workspace, board: dict[str, Any], results: list[Result], short: dict[str, str]) -> dict[str, Any]:
    """Return the drawings that have a place for every candidate, by name; None for one that there is nothing to draw for."""
    entries = board["candidates"]
    pairs = read_json(workspace.reports / "comparison.json", REMEDY)
    slices = {result.candidate: result.report["slices"] for result in results}
    others = {result.candidate: result.verdict for result in results if not result.entry["champion"]}
    return {
        "whiskers": whiskers(entries, short),
        "gains": gains(others, short),
        "pareto": pareto(entries, board["pareto_front"], short),
        "times": times(entries, short),
        "slices": {metric: slice_map(metric, slices, short) for metric in SLICE_METRICS},
        "pairs": {metric: pair_map(metric, pairs, short) for metric in PAIR_METRICS} if pairs else {},
    }


def _panels(workspace: Workspace, results: list[Result], short: dict[str, str]) -> dict[str, list[Any]]:
    """Return the small drawings by kind, one of each candidate that has something to draw."""
    alpha = workspace.params().safety.alpha
    panels: dict[str, list[Any]] = {"reliability": [], "risk": [], "price": []}
    for result in results:
        name, title = slug(result.candidate), short[result.candidate]
        gate = [row for row in result.outcomes if row.split == Split.GATE]
        panels["reliability"].append(reliability_panel(name, title, gate))
        panels["risk"].append(risk_panel(name, title, result.report.get("risk_coverage", {})))
        panels["price"].append(price_panel(name, title, result.entry["price"], alpha))
    return {kind: [figure for figure in found if figure] for kind, found in panels.items()}
