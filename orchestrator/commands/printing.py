"""Print what a verb found: JSON for programs, columns for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

WIDEST = 60  # of a cell: a table of messages still fits on a screen


def print_json(value: Any) -> None:
    """Print one JSON document; moments are ISO 8601."""
    print(json.dumps(value, indent=2, default=_plain))


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """Print rows below the names of their columns; ``empty`` where there are none. What does not fit into a cell is cut off."""
    if not rows:
        print(empty)
        return
    cells = [[name.replace("_", " ") for name in columns], *[[_cell(row[name]) for name in columns] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def tell(text: str) -> None:
    """Print something for a person beside the output, on stderr."""
    print(text, file=sys.stderr, flush=True)


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text whose control characters are escaped: a message must not steer the terminal of the person who reads it.

    With ``lines`` line breaks and tabs stay.
    """
    kept = "\n\t" if lines else ""
    return "".join(sign if sign.isprintable() or sign in kept else sign.encode("unicode_escape").decode() for sign in text)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else visible(str(value))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
