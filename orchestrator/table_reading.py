"""Read a table a row at a time, each with its place: CSV, JSON Lines or Parquet, as the file's name says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import OrchestratorError

PAGE = 1000  # Parquet rows in memory at once


class Cells(NamedTuple):
    """One row. ``place`` is where a person finds it (``line 12``, ``row 12``), ``number`` counts the rows from 1."""

    place: str
    number: int
    values: dict[str, Any]


class Broken(NamedTuple):
    """What stands where a row should, and why it is none."""

    place: str
    number: int
    why: str


Row = Cells | Broken


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a file in order; nothing but the present one is held in memory (of Parquet, a page).

    Raises ``OrchestratorError`` for a file that is missing, of another kind, or not of the kind its name says.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise OrchestratorError(f"{path}: files of kind {path.suffix or '(none)'!r} cannot be read; save it as {', '.join(_READERS)}")
    try:
        yield from reader(path)
    except OSError as error:
        raise OrchestratorError(f"{path} cannot be read ({error.strerror or error})") from error


def _read_csv(path: Path) -> Iterator[Row]:
    # A byte that is not UTF-8 becomes a lone surrogate, so that the row it is in can be told, and the others be read.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        columns = _header(path, reader)
        number = 0
        while True:
            place = f"line {reader.line_num + 1}"
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Broken(place, number, f"{error}; a quoted text ends with a quote, and a quote in it is written twice")
                continue
            if not values:
                continue
            number += 1
            if len(values) != len(columns):
                yield Broken(place, number, f"{len(values)} cells under {len(columns)} columns; quote texts with commas or line breaks")
            elif problem := next(filter(None, map(_not_utf8, values)), None):
                yield Broken(place, number, problem)
            else:
                yield Cells(place, number, dict(zip(columns, values, strict=True)))


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        columns = next(reader, [])
    except csv.Error as error:
        raise OrchestratorError(f"{path}: line 1: {error}; the names of the columns are expected") from None
    if twice := {name for name in columns if columns.count(name) > 1}:
        raise OrchestratorError(f"{path}: line 1: several columns are called {', '.join(map(repr, sorted(twice)))}")
    return columns


def _not_utf8(text: str) -> str | None:
    escaped = next((sign for sign in text if "\udc80" <= sign <= "\udcff"), None)
    return f"byte {ord(escaped) - 0xDC00:#04x} is not UTF-8; save the file as UTF-8" if escaped else None


def _read_json_lines(path: Path) -> Iterator[Row]:
    number = 0
    with path.open("rb") as file:
        for line_number, line in enumerate(file, 1):
            if not line.strip():
                continue
            number += 1
            place = f"line {line_number}"
            try:
                values = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                yield Broken(place, number, f"byte {line[error.start]:#04x} is not UTF-8; save the file as UTF-8")
            except (ValueError, RecursionError) as error:
                yield Broken(place, number, f"not JSON ({error}); one object a line is expected")
            else:
                if isinstance(values, dict):
                    yield Cells(place, number, values)
                else:
                    yield Broken(place, number, f"{type(values).__name__} instead of an object; one object a line is expected")


def _read_parquet(path: Path) -> Iterator[Row]:
    with _opened_parquet(path) as table:
        rows = (row for batch in table.iter_batches(batch_size=PAGE) for row in batch.to_pylist())
        for number, values in enumerate(rows, 1):
            yield Cells(f"row {number}", number, values)


def _opened_parquet(path: Path) -> Any:
    pa, parquet = import_parquet(path)
    try:
        return parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise OrchestratorError(f"{path}: not a Parquet file ({error})") from None


def import_parquet(path: Path) -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module; raise ``OrchestratorError`` where it is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise OrchestratorError(f"{path}: Parquet needs pyarrow, which is in the `evals` extra; or save it as .csv or .jsonl") from None
    return pa, parquet


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".csv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
