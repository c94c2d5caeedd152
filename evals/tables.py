"""Tables in files of four kinds, read with the place of every row: CSV, JSON lines, Parquet and XLSX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evals.errors import EvalError
from evals.workspace import replacing

KINDS = (".csv", ".jsonl", ".parquet", ".xlsx")


class Cells(NamedTuple):
    """One row of a table. ``place`` is where a person finds it: ``line 12`` or ``row 12``."""

    place: str
    values: dict[str, Any]


def read_table(path: Path, *, delimiter: str = ",") -> tuple[list[str], list[Cells]]:
    """Return the names of the columns and the rows of a file; the file's name says of which kind it is.

    Raises ``EvalError`` with the place and the remedy for a file that cannot be read as that kind.
    """
    if path.suffix not in KINDS:
        raise EvalError(f"{path}: files of kind {path.suffix or '(none)'!r} cannot be read; save it as {', '.join(KINDS)}")
    if not path.is_file():
        raise EvalError(f"{path}: there is no such file")
    readers: dict[str, Callable[[], tuple[list[str], list[Cells]]]] = {
        ".csv": lambda: _read_csv(path, delimiter),
        ".jsonl": lambda: _read_json_lines(path),
        ".parquet": lambda: _read_parquet(path),
        ".xlsx": lambda: _read_sheet(path),
    }
    return readers[path.suffix]()


def write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write a table of strings whole or not at all, in the kind that the file's name says.

    In XLSX every cell is text, so that a message beginning with ``=`` is never a formula. Raises ``EvalError``
    for an unknown kind, and for characters that XLSX cannot hold.
    """
    writers: dict[str, Callable[[Path], None]] = {
        ".csv": lambda target: _write_csv(target, columns, rows),
        ".jsonl": lambda target: _write_json_lines(target, rows),
        ".parquet": lambda target: _write_parquet(target, columns, rows),
        ".xlsx": lambda target: _write_sheet(target, columns, rows),
    }
    if path.suffix not in writers:
        raise EvalError(f"{path}: files of kind {path.suffix or '(none)'!r} cannot be written; name it {', '.join('*' + k for k in KINDS)}")
    with replacing(path) as temporary:
        writers[path.suffix](temporary)


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")  # spreadsheets put a byte order mark before UTF-8
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise EvalError(f"{path}: line {line}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8") from None


def _read_csv(path: Path, delimiter: str) -> tuple[list[str], list[Cells]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    rows: list[Cells] = []
    columns: list[str] = []
    line = 1
    try:
        columns = next(reader, [])
        line = reader.line_num + 1
        for values in reader:
            if values:
                if len(values) != len(columns):
                    raise EvalError(
                        f"{path}: line {line}: {len(values)} cells, but the header has {len(columns)} columns; "
                        "put texts that hold the delimiter or line breaks in double quotes"
                    )
                rows.append(Cells(f"line {line}", dict(zip(columns, values, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise EvalError(f"{path}: line {line}: {error}; write a double quote inside a quoted text twice") from None
    return columns, rows


def _read_json_lines(path: Path) -> tuple[list[str], list[Cells]]:
    rows = []
    columns: dict[str, None] = {}
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise EvalError(f"{path}: line {number}: not JSON ({error}); one object a line is expected") from None
        if not isinstance(values, dict):
            raise EvalError(f"{path}: line {number}: {type(values).__name__} instead of an object; one object a line is expected")
        columns.update(dict.fromkeys(values))
        rows.append(Cells(f"line {number}", values))
    return list(columns), rows


def _read_parquet(path: Path) -> tuple[list[str], list[Cells]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise EvalError(f"{path}: not a Parquet file ({error})") from None
    return table.column_names, [Cells(f"row {number}", values) for number, values in enumerate(table.to_pylist(), 1)]


def _read_sheet(path: Path) -> tuple[list[str], list[Cells]]:
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, OSError) as error:
        raise EvalError(f"{path}: not an XLSX workbook ({error}); save it as .xlsx or .csv") from None
    try:
        if book.active is None:
            raise EvalError(f"{path}: the workbook has no sheet")
        lines = list(book.active.iter_rows(values_only=True))
    finally:
        book.close()
    header = [str(name) if name is not None else "" for name in lines[0]] if lines else []
    rows = [
        Cells(f"row {number}", dict(zip(header, values, strict=False)))
        for number, values in enumerate(lines[1:], 2)
        if any(value is not None for value in values)
    ]
    return [name for name in header if name], rows


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _write_json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.string()) for name in columns])
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def _write_sheet(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    import openpyxl
    from openpyxl.utils.exceptions import IllegalCharacterError

    book = openpyxl.Workbook()
    sheet = book.active
    if sheet is None:  # a new workbook has one
        raise EvalError(f"{path}: the workbook has no sheet")
    for number, values in enumerate([dict(zip(columns, columns, strict=True)), *rows], 1):
        for column, name in enumerate(columns, 1):
            if values[name] is None:
                continue
            try:
                cell = sheet.cell(number, column, values[name])
            except IllegalCharacterError:
                raise EvalError(f"row {number}: {name!r} holds a control character, which XLSX cannot; export to .jsonl or .csv") from None
            cell.data_type = "s"
    book.save(path)
