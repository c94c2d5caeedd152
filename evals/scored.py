"""A scored row: a labelled message and what the whole system made of it, as ``outcomes.jsonl`` holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from evals.data import Kind, Row, Split
from evals.errors import EvalError
from evals.workspace import write_lines
from orchestrator.schema import Category, Channel, Classification, Record


class Scored(Record):
    """One row with its classification. The text stays in the dataset; ``id`` finds it. ``characters`` is how long it is."""

    id: str
    seed_id: str
    split: Split
    label: Category
    channel: Channel
    kind: Kind
    slices: tuple[str, ...]
    characters: int | None = None
    cost_usd: float
    classification: Classification

    @classmethod
    def of(cls, row: Row, classification: Classification, cost_usd: float) -> Scored:
        """Join a row with its classification."""
        return cls(
            id=row.id,
            seed_id=row.seed_id,
            split=row.split,
            label=row.label,
            channel=row.channel,
            kind=row.kind,
            slices=row.slices,
            characters=len(row.message),
            cost_usd=cost_usd,
            classification=classification,
        )


def write_outcomes(path: Path, rows: Sequence[Scored]) -> str:
    """Write outcomes whole or not at all, and return the file's SHA-256."""
    write_lines(path, (row.model_dump_json(exclude_none=True) for row in rows))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_outcomes(path: Path) -> list[Scored]:
    """Read outcomes; raise ``EvalError`` with file:line for a line that is not one."""
    return list(iter_outcomes(path))


def iter_outcomes(path: Path) -> Iterator[Scored]:
    """Yield outcomes one by one, so that a file of any size can be read; raise ``EvalError`` as ``read_outcomes`` does."""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip("\n"):
                    yield _outcome(path, number, line)
    except OSError:
        raise EvalError(f"{path} is missing: run `dvc repro`") from None


def _outcome(path: Path, number: int, line: str) -> Scored:
    try:
        return Scored.model_validate_json(line)
    except ValidationError as error:
        raise EvalError(f"{path}:{number}: not an outcome ({error.errors()[0]['msg']}): run `dvc repro`") from None
