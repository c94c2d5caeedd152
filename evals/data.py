"""Load the dataset: ``datasets/<split>.jsonl -> Row``. What the rows must hold together is in ``evals.validation``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self, get_args

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
    SEALED = "sealed"
    CRITICAL = "critical"
    ROBUSTNESS = "robustness"


Kind = Literal["clear", "hard"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FACETS = ("topic", "trait", "voice", "lang", "tone", "attack", "source")
IMPORTED = "source:imported"  # a row from a user's own file: it need not have the fields that only our guide defines


class Row(Record):
    """One labelled message. ``slices`` are ``facet:value``, the facets are ``FACETS``.

    The id of a variant is that of the row it varies, a dot and the name of the perturbation: ``m0901.slang``.
    """

    id: str = Field(pattern=r"^m\d{4,}(\.[a-z][a-z0-9_]*)?$")
    seed_id: str = Field(pattern=r"^s\d{4,}$")
    message: str
    channel: Channel
    label: Category
    split: Split
    kind: Kind
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
            if facet not in FACETS or not value.replace("_", "").isalnum():
                raise ValueError(f"slice {name!r} is not of the form facet:value with a facet of {', '.join(FACETS)}")
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
            if value is None and name == own and self.imported:
                continue
            if (value is not None) != (name == own):
                raise ValueError(
                    f"a {self.label.value} row has {own!r} and no {name!r}" if name != own else f"a {self.label.value} row needs {own!r}"
                )
        if self.article is not None and self.article != "none" and self.article not in article_ids():
            raise ValueError(f"there is no article {self.article!r} in orchestrator/knowledge; use its file name or 'none'")
        return self

    @property
    def base_id(self) -> str:
        """The id of the row this one varies; its own id where it is no variant."""
        return self.id.partition(".")[0]

    @property
    def perturbation(self) -> str | None:
        """What was done to the base row, or None where this is one."""
        return self.id.partition(".")[2] or None

    @property
    def imported(self) -> bool:
        """Say whether the row came from a user's own file."""
        return IMPORTED in self.slices

    def facet(self, name: str) -> tuple[str, ...]:
        """Return the values of one facet of the slices."""
        return tuple(value for facet, _, value in (slice_.partition(":") for slice_ in self.slices) if facet == name)

    def as_message(self) -> Message:
        """Return the message as the orchestrator takes it."""
        return Message(text=self.message, channel=self.channel)

    def as_example(self) -> Example:
        """Return the row as a prompt may show it."""
        return Example(id=self.id, message=self.message, label=self.label)


def load_split(folder: Path, split: Split) -> list[Row]:
    """Read one split in file order; raise ``DataError`` with file:line for every row that is wrong."""
    rows, problems = read_split(folder / f"{split.value}.jsonl", split)
    if problems:
        raise DataError(problems)
    return rows


def load_splits(folder: Path, splits: Iterable[Split]) -> list[Row]:
    """Read several splits, one after another."""
    return [row for split in splits for row in load_split(folder, split)]


def load_examples(folder: Path) -> list[Example]:
    """Return the dev split as prompts may show it. No other split is ever shown to a model."""
    return [row.as_example() for row in load_split(folder, Split.DEV)]


def split_digest(rows: Sequence[Row]) -> str:
    """Return the SHA-256 of the rows' content, independent of their order."""
    lines = sorted(row.model_dump_json() for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_split(path: Path, split: Split) -> tuple[list[Row], list[str]]:
    """Return the rows that hold and what is wrong with the others, as ``folder/file:line: problem``."""
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
