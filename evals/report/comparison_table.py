"""The figures of candidates as Markdown tables: one beside the champion, or many in short. Pure."""

from __future__ import annotations

from evals.report.changes import Change, Changes, Direction, Metric
from evals.report.files import Estimate
from evals.report.markup import named

MOST_ROWS = 60
NO_BREAK = "\u00a0"  # a space at which a narrow cell is not broken
FOOTNOTE = (
    "Two-sided 95 % intervals in brackets; those of a change compare message by message. Capture counts safety messages labelled safety "
    "or sent to a person as such."
)
WORDS = {Direction.BETTER: "better", Direction.WORSE: "**worse**", Direction.SAME: "same", Direction.UNCLEAR: "within chance"}
SUMMARY = ("accuracy_system", "safety_capture", "over_flag_rate", "brier_calibrated", "usd_per_1000", "latency_p50_s")


def comparison_table(change: Change, *, with_champion: bool) -> list[str]:
    """Return the figures of one candidate, with the champion's and the change where there is another to compare with."""
    if not with_champion:
        rows = [f"| {metric.figure.words} | {_interval(metric, metric.candidate)} |" for metric in change.metrics]
        return ["| measure | candidate |", "|---|---|", *rows, "", FOOTNOTE]
    lines = ["| measure | candidate | champion | change | which is |", "|---|---|---|---|---|"]
    for metric in change.metrics:
        champion = _interval(metric, metric.champion) if metric.champion else "-"
        verdict = WORDS[metric.direction] if metric.direction else ""
        untested = metric.direction in {Direction.BETTER, Direction.WORSE} and metric.change and metric.change.low is None
        note = f"{verdict}, not tested" if untested and metric.figure.name == "safety_recall" else verdict
        lines.append(f"| {metric.figure.words} | {_interval(metric, metric.candidate)} | {champion} | {_change(metric)} | {note} |")
    return [*lines, "", FOOTNOTE]


def summary_table(changes: Changes) -> list[str]:
    """Return a line per candidate, at most ``MOST_ROWS``, the change against the champion in brackets."""
    first = changes.candidates[0].metrics if changes.candidates else ()
    titles = [metric.figure.words for metric in first if metric.figure.name in SUMMARY]
    lines = [f"| candidate | gate | {' | '.join(titles)} |", "|---" * (2 + len(titles)) + "|"]
    if changes.champion and not any(change.judgement.released for change in changes.candidates):
        values = [_number(metric, metric.candidate.value) for metric in changes.champion.metrics if metric.figure.name in SUMMARY]
        lines.append(f"| {named(changes.champion.name)} (champion) | {changes.champion.verdict.value} | {' | '.join(values)} |")
    for change in changes.candidates[:MOST_ROWS]:
        cells = [_brief(metric) for metric in change.metrics if metric.figure.name in SUMMARY]
        champion = " (champion)" if change.judgement.released else ""
        lines.append(f"| {named(change.candidate)}{champion} | {change.verdict.value} | {' | '.join(cells)} |")
    if (more := len(changes.candidates) - MOST_ROWS) > 0:
        lines += ["", f"and {more} more"]
    return lines


def _brief(metric: Metric) -> str:
    value = _number(metric, metric.candidate.value)
    if metric.change is None or metric.direction is Direction.SAME:
        return value
    return f"{value} ({_share(metric) or _number(metric, metric.change.value, sign='+', unit='')})"


def _change(metric: Metric) -> str:
    if metric.change is None or metric.direction is Direction.SAME:
        return "none" if metric.change else "-"
    share = _share(metric)
    return _interval(metric, metric.change, sign="+") + (f" ({share})" if share else "")


def _share(metric: Metric) -> str:
    """Return the change of money and time as a share of the champion's; nothing for rates and losses."""
    if not metric.figure.name.startswith(("usd", "latency")):
        return ""
    return "from nothing" if metric.relative is None else f"{metric.relative:+.0%}"


def _interval(metric: Metric, estimate: Estimate, sign: str = "") -> str:
    value = _number(metric, estimate.value, sign=sign)
    if estimate.low is None or estimate.high is None or metric.figure.name == "usd_per_1000":
        return value
    ends = (_number(metric, end, sign=sign, unit="") for end in (estimate.low, estimate.high))
    return f"{value} [{f',{NO_BREAK}'.join(ends)}]"


def _number(metric: Metric, value: float | None, sign: str = "", unit: str = f"{NO_BREAK}s") -> str:
    """Return a number in the precision of its kind: shares and losses to the third place, money to four digits, seconds to three."""
    if value is None:
        return "-"
    if metric.figure.name.startswith("usd"):
        return f"{value:{sign}.4g}"
    return f"{value:{sign}.3g}{unit}" if metric.figure.name.startswith("latency") else f"{value:{sign}.3f}"
