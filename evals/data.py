"""Load and validate the dataset: ``datasets/<split>.jsonl -> Row``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from evals.errors import DataError
from orchestrator.knowledge_base import article_ids
from orchestrator.prompts import Example
from orchestrator.schema import Category, Channel, Message, Record, Severity
from orchestrator.workflows.service_action import Intent


class Split(StrEnum):
    """What a row may be used for. Only dev and calibration may ever be tuned on."""

    DEV = "dev"
    CALIBRATION = "calibration"
    GATE = "gate"
    CRITICAL = "critical"


MIN_SAFETY_SHARE = 0.40  # gate and calibration: recall is measured on safety rows alone
MIN_SHARE = 0.10  # of every label and channel, so that a slice means something
NEAR_DUPLICATE = 0.80  # cosine of character 3- to 5-gram TF-IDF; see datasets/README.md


class Row(Record):
    """One labelled message. ``slices`` are ``facet:value`` with facet topic, trait, voice or lang."""

    id: str = Field(pattern=r"^m\d{4}$")
    seed_id: str = Field(pattern=r"^s\d{4}$")
    message: str
    channel: Channel
    label: Category
    split: Split
    kind: Literal["clear", "hard"]
    slices: tuple[str, ...] = Field(min_length=1)
    intent: Intent | None = None
    article: str | None = None
    severity: Severity | None = None

    @field_validator("message")
    @classmethod
    def _not_blank(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("the message is empty")
        return message

    @field_validator("slices")
    @classmethod
    def _faceted(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        for name in slices:
            facet, _, value = name.partition(":")
            if facet not in {"topic", "trait", "voice", "lang"} or not value.replace("_", "").isalnum():
                raise ValueError(f"slice {name!r} is not topic:…, trait:…, voice:… or lang:…")
        return slices

    @model_validator(mode="after")
    def _fields_of_the_label(self) -> Self:
        given = {"intent": self.intent, "article": self.article, "severity": self.severity}
        own = {
            Category.SERVICE_ACTION: "intent",
            Category.INFORMATIONAL: "article",
            Category.SAFETY_COMPLIANCE: "severity",
        }[self.label]
        for name, value in given.items():
            if (value is not None) != (name == own):
                raise ValueError(
                    f"a {self.label.value} row has {own!r} and no {name!r}" if name != own else f"a {self.label.value} row needs {own!r}"
                )
        if self.article is not None and self.article != "none" and self.article not in article_ids():
            raise ValueError(f"there is no article {self.article!r} in orchestrator/knowledge; use its file name or 'none'")
        return self

    def as_message(self) -> Message:
        """Return the message as the orchestrator takes it."""
        return Message(text=self.message, channel=self.channel)

    def as_example(self) -> Example:
        """Return the row as a prompt may show it."""
        return Example(id=self.id, message=self.message, label=self.label)


def load_split(folder: Path, split: Split) -> list[Row]:
    """Read one split in file order; raise ``DataError`` with file:line for every row that is wrong."""
    rows, problems = _read(folder / f"{split.value}.jsonl", split)
    if problems:
        raise DataError(problems)
    return rows


def load_splits(folder: Path, splits: Iterable[Split]) -> list[Row]:
    """Read several splits, one after another."""
    return [row for split in splits for row in load_split(folder, split)]


def load_examples(folder: Path) -> list[Example]:
    """Return the dev split as prompts may show it. No other split is ever shown to a model."""
    return [row.as_example() for row in load_split(folder, Split.DEV)]


def validate(folder: Path) -> dict[Split, list[Row]]:
    """Read all splits and check them together.

    Raises ``DataError`` listing every problem: malformed rows, ids or seeds used twice, near-duplicates
    across splits, and splits whose labels or channels are out of balance.
    """
    splits: dict[Split, list[Row]] = {}
    problems: list[str] = []
    for split in Split:
        rows, wrong = _read(folder / f"{split.value}.jsonl", split)
        splits[split] = rows
        problems += wrong
    if not problems:
        located = [(f"{split.value}.jsonl:{line}", row) for split, rows in splits.items() for line, row in enumerate(rows, 1)]
        problems = [*_repeated(located), *_near_duplicates(located), *_unbalanced(splits)]
    if problems:
        raise DataError([f"{folder.name}/{problem}" if "/" not in problem.split(":")[0] else problem for problem in problems])
    return splits


def split_digest(rows: list[Row]) -> str:
    """Return the SHA-256 of the rows' content, independent of their order."""
    lines = sorted(row.model_dump_json() for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(path: Path, split: Split) -> tuple[list[Row], list[str]]:
    name = f"{path.parent.name}/{path.name}"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{name}:1: cannot be read as UTF-8 text ({error})"]
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if number < len(lines):
                problems.append(f"{name}:{number}: an empty line; remove it")
            continue
        try:
            row = Row.model_validate(json.loads(line))
        except ValidationError as error:
            problems += [f"{name}:{number}: {_explain(one)}" for one in error.errors()]
            continue
        except ValueError as error:
            problems.append(f"{name}:{number}: not a JSON object ({error})")
            continue
        if row.split != split:
            problems.append(f"{name}:{number}: split is {row.split.value!r}, but the file is for {split.value!r}")
        rows.append(row)
    return rows, problems


def _explain(error: object) -> str:
    detail = dict(error)  # type: ignore[call-overload]  # pydantic's ErrorDetails is a TypedDict
    where = ".".join(str(part) for part in detail["loc"]) or "row"
    got = "" if detail["type"] == "missing" or where == "row" else f" (got {str(detail['input'])[:40]!r})"
    return f"{where}: {detail['msg']}{got}"


def _repeated(located: list[tuple[str, Row]]) -> list[str]:
    problems: list[str] = []
    ids: dict[str, str] = {}
    seeds: dict[str, tuple[Split, str]] = {}
    for where, row in located:
        if row.id in ids:
            problems.append(f"{where}: id {row.id!r} stands at {ids[row.id]} too; give each row its own")
        ids.setdefault(row.id, where)
        first_split, first = seeds.setdefault(row.seed_id, (row.split, where))
        if first_split != row.split:
            problems.append(f"{where}: seed {row.seed_id!r} is in split {first_split.value} too ({first}); a seed stays in one split")
    return problems


def _near_duplicates(located: list[tuple[str, Row]]) -> list[str]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform([row.message for _, row in located])
    similar = (vectors @ vectors.T).tocoo()
    problems = []
    for i, j, cosine in zip(similar.row, similar.col, similar.data, strict=True):
        if i < j and cosine >= NEAR_DUPLICATE and located[i][1].split != located[j][1].split:
            problems.append(f"{located[j][0]}: nearly the same text as {located[i][0]} (cosine {cosine:.2f}); remove one")
    return problems


def _unbalanced(splits: dict[Split, list[Row]]) -> list[str]:
    problems = []
    for split, rows in splits.items():
        name = f"{split.value}.jsonl:1"
        labels, channels = Counter(row.label for row in rows), Counter(row.channel for row in rows)
        if split == Split.CRITICAL:
            others = [row.id for row in rows if row.label != Category.SAFETY_COMPLIANCE]
            if others:
                problems.append(f"{name}: critical rows are all safety_compliance; {', '.join(others)} are not")
            continue
        scarce = [label.value for label in Category if labels[label] < MIN_SHARE * len(rows)]
        scarce += [channel.value for channel in Channel if channels[channel] < MIN_SHARE * len(rows)]
        if scarce:
            problems.append(f"{name}: {', '.join(scarce)} below {MIN_SHARE:.0%} of {len(rows)} rows; add some")
        safety = labels[Category.SAFETY_COMPLIANCE] / max(len(rows), 1)
        if split in {Split.CALIBRATION, Split.GATE} and safety < MIN_SAFETY_SHARE:
            problems.append(f"{name}: {safety:.0%} safety rows; at least {MIN_SAFETY_SHARE:.0%} are expected")
    return problems
