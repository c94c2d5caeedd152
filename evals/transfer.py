"""A user's own messages in, labelled messages out: ``file -> Row -> datasets/<split>.jsonl``, and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.data import IMPORTED, Row, Split, load_splits
from evals.errors import DataError, EvalError
from evals.progress import progress
from evals.similarity import PIECE, Pair, near_duplicates
from evals.tables import Cells, read_table, write_table
from evals.workspace import write_lines
from orchestrator.redact import redact
from orchestrator.schema import Category, Channel

IMPORTABLE = (Split.DEV, Split.CALIBRATION, Split.GATE, Split.SEALED, Split.CRITICAL)
COLUMNS = ("id", "seed_id", "message", "channel", "label", "split", "kind", "slices", "severity", "intent", "article")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z ]+\]")


@dataclass(frozen=True)
class Columns:
    """Which column holds what. ``channel`` names a column, or is a channel that all rows came by."""

    text: str
    label: str
    channel: str = Channel.CHAT.value
    names: Mapping[str, str] = field(default_factory=dict)  # the user's names of labels and channels -> ours

    def ours(self, value: object) -> str:
        """Return a label or a channel by our name, or as it stands where none was given."""
        name = "" if value is None else str(value)
        return self.names.get(name, name)


@dataclass(frozen=True)
class Import:
    """What an import found: the rows it would add, what it redacted, and which texts are nearly the same."""

    file: Path
    split: Split
    rows: list[Row]
    redacted: dict[str, int]
    repeated: list[str]

    def summary(self) -> list[str]:
        """Return what a person should know before and after, as lines."""
        labels = Counter(row.label.value for row in self.rows)
        channels = Counter(row.channel.value for row in self.rows)
        lines = [
            f"{self.file}: {len(self.rows)} rows for {self.split.value}",
            "  labels: " + ", ".join(f"{name} {count}" for name, count in sorted(labels.items())),
            "  channels: " + ", ".join(f"{name} {count}" for name, count in sorted(channels.items())),
            "  redacted: " + (", ".join(f"{name} {count}" for name, count in sorted(self.redacted.items())) or "nothing"),
            f"  near-duplicates within the split: {len(self.repeated) or 'none'}",
        ]
        return lines + [f"    {one}" for one in self.repeated]


def prepare_import(
    folder: Path, file: Path, split: Split, columns: Columns, *, delimiter: str = ",", redacting: bool = True, skip_duplicates: bool = False
) -> Import:
    """Read a user's file and return the rows to add to a split; nothing is written.

    Texts that are nearly the same as an earlier one in the same split share its seed, so that paraphrases do not count
    twice. Raises ``EvalError`` for a file or a column that is not there, and ``DataError`` with every wrong row by file,
    line and column: empty texts, unknown labels or channels, and texts that another split holds already
    (``skip_duplicates`` leaves those rows out).
    """
    if split not in IMPORTABLE:
        raise EvalError(f"rows cannot be imported into {split.value!r}: a suite's seeds need their variants; take {', '.join(IMPORTABLE)}")
    present = load_splits(folder, Split)
    names, cells = read_table(file, delimiter=delimiter)
    _require_columns(file, names, columns, delimiter)
    found, problems = _read_rows(file, cells, columns, split, redacting=redacting, start=_next_number(present))
    if problems:
        raise DataError(problems)
    if not found:
        raise EvalError(f"{file}: there is no row under the header; nothing to import")
    places = [place for place, _, _ in found]
    rows = [row for _, row, _ in found]
    rows, repeated, clashes = _settle_duplicates(file, present, rows, places)
    if clashes and not skip_duplicates:
        raise DataError([f"{clash}; leave it out with --skip-duplicates, or import into that split" for clash in clashes.values()])
    kept = [n for n in range(len(rows)) if n not in clashes]
    redacted = Counter(name for n in kept for name in found[n][2])
    return Import(file, split, [rows[n] for n in kept], dict(redacted), repeated)


def write_import(folder: Path, prepared: Import) -> None:
    """Append the rows to their split; the file is written whole or not at all."""
    path = folder / f"{prepared.split.value}.jsonl"
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    write_lines(path, [*lines, *(row.model_dump_json(exclude_none=True) for row in prepared.rows)])


def export(folder: Path, splits: Sequence[Split], file: Path) -> int:
    """Write the rows of some splits to a table and return how many; slices are joined by spaces."""
    rows = load_splits(folder, splits)
    write_table(file, COLUMNS, [_cells(row) for row in rows])
    return len(rows)


def _cells(row: Row) -> dict[str, Any]:
    values = row.model_dump(mode="json")
    return {**{name: values[name] for name in COLUMNS}, "slices": " ".join(row.slices)}


def _require_columns(file: Path, names: Sequence[str], columns: Columns, delimiter: str) -> None:
    known = ", ".join(map(repr, names)) or "none"
    for option, name in (("--text", columns.text), ("--label", columns.label)):
        if name not in names:
            other = next((d for d in ";\t|," if d != delimiter and len(names) == 1 and d in names[0]), None)
            hint = f"; is the delimiter {other!r}? Say --delimiter" if other else ""
            raise EvalError(f"{file}: line 1: there is no column {name!r} ({option}); the columns are {known}{hint}")
    if columns.channel not in names and columns.ours(columns.channel) not in set(Channel):
        raise EvalError(f"{file}: line 1: --channel {columns.channel!r} is neither a column ({known}) nor one of {', '.join(Channel)}")
    for old, new in columns.names.items():
        if new not in {*Category, *Channel}:
            raise EvalError(f"--map {old}={new}: {new!r} is neither a label ({', '.join(Category)}) nor a channel ({', '.join(Channel)})")


def _read_rows(
    file: Path, cells: Sequence[Cells], columns: Columns, split: Split, *, redacting: bool, start: int
) -> tuple[list[tuple[str, Row, list[str]]], list[str]]:
    found: list[tuple[str, Row, list[str]]] = []
    problems: list[str] = []
    for place, values in cells:
        text, label, channel = values.get(columns.text), values.get(columns.label), values.get(columns.channel, columns.channel)
        wrong = [f"{file}: {place}, column {name!r}: {problem}" for name, problem in _faults(text, label, channel, columns)]
        problems += wrong
        if wrong:
            continue
        message = redact(str(text)) if redacting else str(text)
        number = start + len(found)
        row = Row(
            id=f"m{number:04d}",
            seed_id=f"s{number:04d}",
            message=message,
            channel=Channel(columns.ours(channel)),
            label=Category(columns.ours(label)),
            split=split,
            kind="clear",
            slices=(IMPORTED,),
        )
        found.append((place, row, _replaced(str(text), message)))
    return found, problems


def _faults(text: object, label: object, channel: object, columns: Columns) -> Iterator[tuple[str, str]]:
    if text is None or not str(text).strip():
        yield columns.text, "the message is empty; fill it or delete the row"
    elif not isinstance(text, str):
        yield columns.text, f"a text is expected, not {type(text).__name__} {text!r}"
    for kind, column, value, known in (("label", columns.label, label, Category), ("channel", columns.channel, channel, Channel)):
        ours = columns.ours(value)
        if ours not in set(known):
            mapped = f" (--map makes it {ours!r})" if ours != value else ""
            yield column, f"unknown {kind} {value!r}{mapped}; use {', '.join(known)}, or translate it with --map {value or 'OLD'}=NEW"


def _settle_duplicates(
    file: Path, present: Sequence[Row], rows: Sequence[Row], places: Sequence[str]
) -> tuple[list[Row], list[str], dict[int, str]]:
    """Return the rows with seeds shared among near-duplicates of the split, those pairs, and clashes with other splits by position."""
    everything = [*present, *rows]
    offset = len(present)
    repeated: list[str] = []
    clashes: dict[int, str] = {}

    def name(position: int) -> str:
        return places[position - offset] if position >= offset else f"{everything[position].split.value} row {everything[position].id}"

    with progress("near-duplicates", -(-len(rows) // PIECE)) as advance:
        for pair in near_duplicates([row.message for row in everything], since=offset, advance=advance):
            first, second = everything[pair.first], everything[pair.second]
            told = _told(pair)
            if first.split != second.split:
                clashes[pair.second - offset] = f"{file}: {places[pair.second - offset]}: {told} as {name(pair.first)}"
            elif first.seed_id != second.seed_id:
                repeated.append(f"{places[pair.second - offset]}: {told} as {name(pair.first)}: they share a seed")
                everything[pair.second] = second.model_copy(update={"seed_id": first.seed_id})
    return everything[offset:], repeated, clashes


def _told(pair: Pair) -> str:
    return f"nearly the same text (cosine {pair.cosine:.2f} of {pair.view})"


def _replaced(before: str, after: str) -> list[str]:
    """Return the placeholders that redaction put in, one for each."""
    added = Counter(_PLACEHOLDER.findall(after)) - Counter(_PLACEHOLDER.findall(before))
    return [name.strip("[]").lower() for name in added.elements()]


def _next_number(rows: Sequence[Row]) -> int:
    return 1 + max((int(name[1:]) for row in rows for name in (row.base_id, row.seed_id)), default=0)


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Return ``old=new`` pairs as a mapping; raise ``EvalError`` for one without ``=``."""
    mapping = {}
    for pair in pairs:
        old, equals, new = pair.rpartition("=")
        if not equals:
            raise EvalError(f"--map {pair}: write it as OLD=NEW")
        mapping[old] = new
    return mapping
