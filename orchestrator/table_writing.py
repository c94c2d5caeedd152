"""Write a table a row at a time, whole or not at all: CSV, JSON Lines or Parquet, as the file's name says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import OrchestratorError
from orchestrator.table_reading import import_parquet
from orchestrator.whole_file import replacing

PAGE = 1000  # Parquet rows in memory at once
Write = Callable[[Mapping[str, Any]], None]
Types = Mapping[str, type]  # str, float or bool by column, in order


@contextmanager
def writing_table(path: Path, columns: Types) -> Iterator[Write]:
    """Yield a function that adds a row; the file is there when the block ends well, and as it was before when it does not.

    Raises ``OrchestratorError`` for a kind that cannot be written, for a folder that is missing, and while another process writes it.
    """
    check_writable(path)
    with replacing(path) as file, _WRITERS[path.suffix.lower()](file, columns, path) as write:
        yield write


def check_writable(path: Path) -> None:
    """Raise ``OrchestratorError`` when a table cannot be written to ``path``, before anything is done for it."""
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(f"*{kind}" for kind in _WRITERS)
        raise OrchestratorError(f"{path}: files of kind {path.suffix or '(none)'!r} cannot be written; name it {known}")
    if not path.parent.is_dir():
        raise OrchestratorError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise OrchestratorError(f"{path} is a folder: name a file in it")
    if path.suffix.lower() == ".parquet":
        import_parquet(path)


@contextmanager
def _csv(file: BinaryIO, columns: Types, _: Path) -> Iterator[Write]:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()

    def write(row: Mapping[str, Any]) -> None:
        writer.writerow({name: str(row[name]).lower() if isinstance(row[name], bool) else row[name] for name in columns})

    try:
        yield write
    finally:
        text.detach()  # which flushes; the file is its opener's to close


@contextmanager
def _json_lines(file: BinaryIO, columns: Types, _: Path) -> Iterator[Write]:
    def write(row: Mapping[str, Any]) -> None:
        line = json.dumps({name: row[name] for name in columns}, ensure_ascii=False)
        file.write(line.encode(errors="backslashreplace") + b"\n")  # of a lone surrogate that is what JSON writes too

    yield write


@contextmanager
def _parquet(file: BinaryIO, columns: Types, path: Path) -> Iterator[Write]:
    pa, parquet = import_parquet(path)
    kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    page: list[dict[str, Any]] = []
    with parquet.ParquetWriter(file, schema) as table:

        def empty() -> None:
            table.write_table(pa.Table.from_pylist(page, schema=schema))
            page.clear()

        def write(row: Mapping[str, Any]) -> None:
            page.append({name: row[name] for name in columns})
            if len(page) >= PAGE:
                empty()

        yield write
        if page:
            empty()


_WRITERS: dict[str, Callable[[BinaryIO, Types, Path], Any]] = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
