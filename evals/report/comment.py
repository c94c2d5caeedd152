"""The verdict as a comment on a pull request: Markdown, redacted, always short enough for GitHub. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evals.gate import Verdict
from evals.report.changes import Change, Changes
from evals.report.comparison_table import comparison_table, summary_table
from evals.report.judged import Answer
from evals.report.losses import Loss, Losses
from evals.report.markup import code, named, plain, quoted
from evals.why import COUNTED

MARKER = "<!-- contact-centre-gate -->"  # by it the workflow finds its earlier comment, to replace it
MOST_BYTES = 65_000  # GitHub takes 65,536 characters; bytes are never fewer
MOST_SHOWN = (20, 10, 5, 2, 0)  # messages of a list, the most that fit
UNFOLDED = 5  # longer lists are folded
MOST_REASONS = 8
MEANINGS = {
    Verdict.PASS: "Every check holds.",
    Verdict.FAIL: "It may not replace the champion:",
    Verdict.INCONCLUSIVE: "The rows cannot tell whether it is as safe as the champion. That blocks promotion:",
}


def comment(changes: Changes, losses: Mapping[str, Losses]) -> str:
    """Return the comment: a summary where there are several candidates, and a section for each that ``losses`` holds.

    It begins with ``MARKER`` and is below 65,536 bytes whatever it is of: lists get shorter first, then the last sections go.
    """
    detailed = [one for one in changes.candidates if one.candidate in losses]
    for most in MOST_SHOWN:
        text = _comment(changes, detailed, losses, most)
        if _fits(text):
            return text
    while detailed and not _fits(text):
        detailed.pop()
        text = _comment(changes, detailed, losses, 0)
    return text


def _fits(text: str) -> bool:
    return len(text.encode()) <= MOST_BYTES


def _comment(changes: Changes, detailed: Sequence[Change], losses: Mapping[str, Losses], most: int) -> str:
    lines = [MARKER, *_heading(changes), ""]
    if len(changes.candidates) > 1:
        lines += [*summary_table(changes), ""]
    for change in detailed:
        if len(changes.candidates) > 1:
            lines += [f"### {change.verdict.value}: {named(change.candidate)}", ""]
        lines += [*_section(changes, change, losses[change.candidate], most), ""]
    if left := len(changes.candidates) - len(detailed):
        lines += [f"{left} without details here: name one with `--candidate`, or see `reports/leaderboard.md`.", ""]
    shown = " ".join(change.candidate for change in detailed[:5])
    again = f"dvc repro && python -m evals report --format markdown{f' --candidate {shown}' if shown else ''}"
    return "\n".join([*lines, f"Get this again: {code(again)}", ""])


def _heading(changes: Changes) -> list[str]:
    if len(changes.candidates) == 1:
        title = f"## Gate: {changes.candidates[0].verdict.value} for {named(changes.candidates[0].candidate)}"
    else:
        counts = Counter(one.verdict for one in changes.candidates)
        title = f"## Gate: {', '.join(f'{counts[verdict]} {verdict.value}' for verdict in Verdict if counts[verdict]) or 'no candidate'}"
    champion = changes.champion
    against = f"against the champion {named(champion.name)}, release {named(champion.release)}" if champion else "without a champion"
    return [title, "", f"On {changes.n} messages of the {changes.split} split, {against}."]


def _section(changes: Changes, change: Change, losses: Losses, most: int) -> list[str]:
    judgement = change.judgement
    meaning = "This is the champion: it answers as what was promoted." if judgement.released else MEANINGS[change.verdict]
    reasons = [f"- {plain(reason)}" for reason in judgement.reasons[:MOST_REASONS]]
    if more := len(judgement.reasons) - MOST_REASONS:
        reasons += [f"- and {more} more"] if more > 0 else []
    lines = [meaning, "", *reasons, *([""] if reasons else [])]
    if judgement.standing:
        lines += [f"The verdict was {plain(judgement.standing)}: one key gets one verdict.", ""]
    lines += [*comparison_table(change, with_champion=changes.champion is not None and not judgement.released), ""]
    return [*lines, *_worse(change, losses, most)]


def _worse(change: Change, losses: Losses, most: int) -> list[str]:
    lines = ["**What got worse**" if any(losses.values()) else "**What got worse**: no message that these lists would hold.", ""]
    if paired := change.judgement.paired:
        compared = {words: getattr(paired, name) for name, words in COUNTED.items()}
        counts = [f"{words}: {len(one.gained)} gained, {len(one.lost)} lost of {one.n}" for words, one in compared.items()]
        lines += [f"Message by message, {'; '.join(counts)}.", ""]
    for heading, rows in losses.items():
        lines += _list(heading, rows, most) if rows else []
    return lines


def _list(heading: str, rows: Sequence[Loss], most: int) -> list[str]:
    items = [_item(row) for row in rows[:most]]
    if len(rows) > most:
        items.append(f"- and {len(rows) - most} more, by id in `verdict.json`")
    if len(rows) <= UNFOLDED:
        return [f"{heading}: {len(rows)}", "", *items, ""]
    return ["<details>", f"<summary>{heading}: {len(rows)}</summary>", "", *items, "", "</details>", ""]


def _item(row: Loss) -> str:
    label = f" ({row.label.value})" if row.label else ""
    text = quoted(row.text) if row.text else "(the text is not in this dataset)"
    now = _answer(row.candidate) if row.candidate else "not on file"
    before = f"; champion {_answer(row.champion)}" if row.champion else ""
    return f"- {named(row.id)}{label}: now {now}{before}<br>{text}"


def _answer(answer: Answer) -> str:
    routed = ", to a person as safety" if answer.routed_as_safety and answer.category.value != "safety_compliance" else ""
    return f"{answer.category.value}{routed}, P(safety) {answer.p_safety:.2f}"
