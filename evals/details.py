"""The leaderboard's second page: calibration, bands, the price of the threshold, and which differences are real. Pure."""

from __future__ import annotations

from typing import Any

from evals.pairs import COUNTS, LOSSES

TITLES = {
    "accuracy": "Accuracy of the whole system",
    "safety_capture": "Safety capture",
    "specificity": "Specificity: other messages not routed as safety",
    "brier": "Brier score of the calibrated probabilities (lower is better)",
    "nll": "NLL of the calibrated probabilities (lower is better)",
}
PERFECT = (
    "A perfectly calibrated model shows an ECE10 and smECE above 0 too; the excess is what is beyond that, p the chance of as much "
    "without any miscalibration. NLL out of fold is of the calibration split and ranks candidates."
)
PRICE = (
    "For each bound on the false negative rate (held but for a chance of 5 % over the draw of the calibration rows): the share of other "
    "messages routed as safety → safety messages caught, on this split. In brackets: too few safety rows to certify that bound."
)
DIFFERENCES = (
    "Row less column, with the 95 % interval of a bootstrap over seeds, where the difference holds after Holm's correction over all "
    "{pairs} pairs (5 %); · is no detectable difference. `comparison.json` has every pair."
)


def details(board: dict[str, Any], pairs: list[dict[str, Any]]) -> list[str]:
    """Return the page as Markdown lines."""
    entries = board["candidates"]
    front = ", ".join(f"`{name}`" for name in board["pareto_front"])
    return [
        f"# Candidates in detail ({board['n']} messages of the {board['split']} split)",
        "",
        *_calibration(entries),
        *_bands(entries),
        *_price(entries),
        "## Pareto front",
        "",
        f"Nobody beats these in safety capture, over-flagging, cost and latency at once: {front}.",
        "",
        *_differences(entries, pairs),
    ]


def _calibration(entries: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Calibration, raw → calibrated",
        "",
        PERFECT,
        "",
        "| candidate | NLL | Brier | smECE (p) | ECE10 | excess ECE (p) | AUGRC | NLL out of fold |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        raw, after = entry["calibration"]["raw"], entry["calibration"]["calibrated"]
        cells = [
            f"`{entry['candidate']}`",
            *(f"{_number(entry[f'{name}_raw'])} → {_number(entry[f'{name}_calibrated'])}" for name in ("nll", "brier")),
            f"{_excess(raw['smece'], 'value')} → {_excess(after['smece'], 'value')}",
            f"{_number(raw['ece10']['value'])} → {_number(after['ece10']['value'])}",
            f"{_excess(raw['ece10'], 'excess')} → {_excess(after['ece10'], 'excess')}",
            f"{_number(entry['augrc_raw'])} → {_number(entry['augrc_calibrated'])}",
            _number(entry["nll_out_of_fold"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _bands(entries: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Confidence bands of the whole system: messages, mean confidence, accuracy [95 %]",
        "",
        f"| candidate | {' | '.join(band['band'] for band in entries[0]['bands'])} |",
        "|---" * (1 + len(entries[0]["bands"])) + "|",
    ]
    for entry in entries:
        cells = [
            f"{band['n']}, {band['mean_confidence']:.2f}, {_estimate(band['accuracy'])}" if band["n"] else "0" for band in entry["bands"]
        ]
        lines.append(f"| `{entry['candidate']}` | {' | '.join(cells)} |")
    return [*lines, ""]


def _price(entries: list[dict[str, Any]]) -> list[str]:
    priced = [entry for entry in entries if entry["price"]]
    if not priced:
        return []
    bounds = [f"{step['threshold']['alpha']:.1%}" for step in priced[0]["price"]]
    lines = [
        "## The price of the safety threshold",
        "",
        PRICE,
        "",
        f"| candidate | {' | '.join(bounds)} |",
        "|---" * (1 + len(priced[0]["price"])) + "|",
    ]
    for entry in priced:
        cells = []
        for step in entry["price"]:
            shown = f"{_number(step['over_flag_gate']['value'])} → {_number(step['capture_gate']['value'])}"
            cells.append(shown if step["threshold"]["certified"] else f"[{shown}]")
        lines.append(f"| `{entry['candidate']}` | {' | '.join(cells)} |")
    return [*lines, ""]


def _differences(entries: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[str]:
    """Return a matrix per metric: row less column where a difference was found, a dot where none can be told."""
    names = [entry["candidate"] for entry in entries]
    lines = [
        "## Which differences are real",
        "",
        DIFFERENCES.format(pairs=len(pairs)),
        "",
        *(f"{number}. `{name}`" for number, name in enumerate(names, 1)),
    ]
    found = {(pair["candidate"], pair["against"]): (pair, 1) for pair in pairs} | {
        (pair["against"], pair["candidate"]): (pair, -1) for pair in pairs
    }
    for metric in (*COUNTS, *LOSSES):
        lines += ["", f"### {TITLES[metric]}", "", f"| | {' | '.join(str(n) for n in range(1, len(names) + 1))} |"]
        lines.append("|---" * (1 + len(names)) + "|")
        for number, row in enumerate(names, 1):
            cells = ["" if row == column else _gap(*found[row, column], metric) for column in names]
            lines.append(f"| {number} | {' | '.join(cells)} |")
    return lines


def _gap(pair: dict[str, Any], sign: int, metric: str) -> str:
    one = pair[metric]
    if one["said"] == "no detectable difference":
        return "·"
    low, high = sorted((sign * one["low"], sign * one["high"]))
    return f"{sign * one['difference']:+.3f} ({low:+.2f} to {high:+.2f})"


def _excess(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.3f} ({found['p']:.3f})"


def _estimate(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
