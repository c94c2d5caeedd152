"""How well personal data is found: ``datasets/pii.jsonl -> figures``, recall first, for what is missed is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evals.errors import DataError
from evals.intervals import Estimate, proportion
from orchestrator.redact import Kind, Span, find

FILE = "pii.jsonl"
COVERED = 0.9  # of a span's characters, so that a full stop or an initial left over does not make a miss
ALL = "all"

Part = Literal["dev", "test"]


class Labelled(BaseModel):
    """Personal data as a person marked it, in characters of the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    start: int = Field(ge=0)
    end: int
    kind: Kind


class Case(BaseModel):
    """A message with its personal data, and the medicine names and doses that must survive redaction."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1)
    part: Part
    text: str = Field(min_length=1)
    channel: Literal["chat", "voice", "mail"]
    lang: Literal["en", "es"]
    spans: tuple[Labelled, ...]
    keep: tuple[str, ...]

    @model_validator(mode="after")
    def _fits_its_text(self) -> Case:
        previous = 0
        for span in self.spans:
            if not span.start < span.end <= len(self.text):
                raise ValueError(f"span {span.start}:{span.end} does not lie within the text of {len(self.text)} characters")
            if span.start < previous:
                raise ValueError(f"span {span.start}:{span.end} overlaps the one before or is out of order")
            previous = span.end
        for kept in self.keep:
            if not kept or kept not in self.text:
                raise ValueError(f"keep: {kept!r} is not in the text")
        return self


def load(path: Path) -> list[Case]:
    """Return the cases of a file; raise ``DataError`` with every wrong line by file and line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError([f"{path}: cannot be read: {error}"]) from error
    cases: list[Case] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = Case.model_validate_json(line)
        except ValidationError as error:
            problems += [f"{path}:{number}: {_place(one['loc'])}{one['msg'].removeprefix('Value error, ')}" for one in error.errors()]
            continue
        if case.id in seen:
            problems.append(f"{path}:{number}: id {case.id!r} stands on line {seen[case.id]} already")
        seen[case.id] = number
        cases.append(case)
    if not cases and not problems:
        problems.append(f"{path}: holds no case")
    if problems:
        raise DataError(problems)
    return cases


def evaluate(datasets: Path) -> dict[str, object]:
    """Return the figures of both parts, ``test`` and ``dev``: per kind and over all, each share with its Clopper-Pearson interval.

    ``recall`` counts a span as found if at least 90 % of its characters are redacted under any kind, ``strict`` if a found span of its
    own kind overlaps it; ``precision`` is the share of found spans that overlap a labelled one of their kind, ``touches`` of any kind;
    ``keep`` is the share of medicine names and doses that redaction touched. Order numbers are looked for. Only ``test`` certifies:
    the recognisers were written against ``dev``. Raises ``DataError`` for a file that does not hold.
    """
    cases = load(datasets / FILE)
    return {part: figures([case for case in cases if case.part == part]) for part in ("test", "dev")}


def figures(cases: Sequence[Case], finder: Callable[[str], Sequence[Span]] | None = None) -> dict[str, object]:
    """Return the figures of some cases; ``finder`` is another way to find personal data, to compare with."""
    look = finder or (lambda text: find(text, orders=True))
    judged = [(case, tuple(look(case.text))) for case in cases]
    labelled = [(span.kind, *_judge_label(span, found)) for case, found in judged for span in case.spans]
    offered = [(span.kind, *_judge_found(span, case)) for case, found in judged for span in found]
    harmed = [touched for case, found in judged for touched in _touched(case, found)]
    rows = {}
    for name in (ALL, *Kind):
        ours = [row[1:] for row in labelled if name in {ALL, row[0]}]
        theirs = [row[1:] for row in offered if name in {ALL, row[0]}]
        rows[str(name)] = {
            "recall": _share(row[0] for row in ours),
            "strict": _share(row[1] for row in ours),
            "precision": _share(row[0] for row in theirs),
            "touches": _share(row[1] for row in theirs),
        }
    groups = {
        name: {
            value: _share(_judge_label(span, found)[0] for case, found in judged if getattr(case, name) == value for span in case.spans)
            for value in sorted({getattr(case, name) for case in cases})
        }
        for name in ("channel", "lang")
    }
    clean = [bool(found) for case, found in judged if not case.spans]
    return {
        "messages": len(cases),
        "kinds": rows,
        "slices": groups,
        "keep_touched": _share(harmed),
        "clean_messages_touched": _share(clean),
    }


def render(figures: dict[str, object]) -> str:
    """Return what ``evaluate`` found as Markdown: a table for ``test``, which certifies, and one for ``dev``."""
    return "\n\n".join(_table(part, figures[part]) for part in ("test", "dev"))


def _judge_label(span: Labelled, found: Sequence[Span]) -> tuple[bool, bool]:
    """Say whether a labelled span is redacted, and whether under its own kind."""
    overlapping = [one for one in found if one.start < span.end and one.end > span.start]
    covered = sum(min(one.end, span.end) - max(one.start, span.start) for one in overlapping)
    return covered >= COVERED * (span.end - span.start), any(one.kind == span.kind for one in overlapping)


def _judge_found(found: Span, case: Case) -> tuple[bool, bool]:
    """Say whether a found span overlaps a labelled one of its kind, and of any kind."""
    overlapping = [one for one in case.spans if one.start < found.end and one.end > found.start]
    return any(one.kind == found.kind for one in overlapping), bool(overlapping)


def _touched(case: Case, found: Sequence[Span]) -> Iterable[bool]:
    """Say of each text to keep whether redaction touches it where it stands first."""
    for kept in case.keep:
        start = case.text.index(kept)
        yield any(one.start < start + len(kept) and one.end > start for one in found)


def _share(hits: Iterable[bool]) -> dict[str, Any]:
    counted = list(hits)
    return proportion(sum(counted), len(counted)).model_dump()


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _table(part: str, figures: Any) -> str:
    harm = f"medicine names and doses touched {_shown(figures['keep_touched'])}"
    clean = f"messages without personal data touched {_shown(figures['clean_messages_touched'])}"
    lines = [
        f"**{part}**: {figures['messages']} messages; {harm}; {clean}.",
        "",
        "| kind | n | recall | same kind | precision | overlaps any |",
        "|---|--:|---|---|---|---|",
    ]
    for kind, row in figures["kinds"].items():
        shares = (_shown(row[name]) for name in ("recall", "strict", "precision", "touches"))
        lines.append(f"| {kind} | {row['recall']['n']} | {' | '.join(shares)} |")
    slices = [f"{value} {_shown(share)}" for values in figures["slices"].values() for value, share in values.items()]
    return "\n".join([*lines, "", f"Recall by slice: {', '.join(slices)}."])


def _shown(share: dict[str, Any]) -> str:
    estimate = Estimate.model_validate(share)
    if estimate.value is None:
        return "none"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] of {estimate.n}"
