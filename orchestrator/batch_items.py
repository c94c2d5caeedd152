"""The messages of a file, one at a time: ``row -> Item``, or what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import InputError, OrchestratorError
from orchestrator.incoming import new_message
from orchestrator.schema import Channel, Message
from orchestrator.table_reading import Broken, read_table

MAX_ID = 200  # characters; an idempotency key holds 255


class Item(NamedTuple):
    """One message to handle. ``id`` is the user's, else the number of the row; ``key`` tells the message from all others of its file."""

    place: str
    id: str
    key: str
    message: Message


class BadRow(NamedTuple):
    """A row that is left out, and why."""

    place: str
    problem: str


@dataclass(frozen=True)
class Columns:
    """Which column holds what; one that is not named is used where there is one of the usual name. ``channel`` may name a channel."""

    text: str = "message"
    id: str | None = None
    channel: str | None = None
    customer_id: str | None = None


@dataclass(frozen=True)
class Survey:
    """What a file holds, before anything is done with it: how many messages, which rows are none, and its columns by name."""

    items: int
    bad: list[BadRow]
    columns: Columns


def survey(path: Path, columns: Columns) -> Survey:
    """Read a file to its end and return what it holds.

    Raises ``OrchestratorError`` for a file that cannot be read, without rows, or without a column that was named.
    """
    names: dict[str, None] = {}
    rows = 0
    for row in read_table(path):
        rows += 1
        if not isinstance(row, Broken):
            names.update(dict.fromkeys(row.values))
    if not rows:
        raise OrchestratorError(f"{path}: there is no row in it")
    found = _found(path, names, columns)
    bad, items = [], 0
    for one in read_items(path, found):
        if isinstance(one, BadRow):
            bad.append(one)
        else:
            items += 1
    return Survey(items, bad, found)


def read_items(path: Path, columns: Columns) -> Iterator[Item | BadRow]:
    """Yield the messages of a file in order, and each row that is none. ``columns`` are those of its ``survey``."""
    seen: set[bytes] = set()  # a digest each: ids may be long
    for row in read_table(path):
        if isinstance(row, Broken):
            yield BadRow(row.place, row.why)
            continue
        try:
            name = _id_of(row.values, columns, seen)
            channel = row.values.get(columns.channel, columns.channel) if columns.channel else None
            message = new_message(row.values.get(columns.text), channel, row.values.get(columns.customer_id or ""))
        except InputError as error:
            yield BadRow(row.place, str(error))
        else:
            yield Item(row.place, name or str(row.number), f"id:{name}" if name else f"row:{row.number}", message)


def batch_client(path: Path) -> str:
    """Return under which name the messages of a file are recorded, so that the same file is the same batch wherever it lies."""
    digest = hashlib.sha256(path.name.encode() + b"\0")
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise OrchestratorError(f"{path} cannot be read ({error.strerror or error})") from error
    return f"batch:{digest.hexdigest()[:48]}"  # the store's column holds 64 characters


def _found(path: Path, names: dict[str, None], columns: Columns) -> Columns:
    known = ", ".join(map(repr, names)) or "none"
    named = {"--text": columns.text, "--id": columns.id, "--customer-id": columns.customer_id}
    for option, name in named.items():
        if name is not None and name not in names:
            raise OrchestratorError(f"{path}: there is no column {name!r} ({option}); the columns are {known}")
    if columns.channel is not None and columns.channel not in {*names, *Channel}:
        raise OrchestratorError(f"{path}: --channel {columns.channel!r} is neither a column ({known}) nor one of {', '.join(Channel)}")
    usual = {name: name for name in ("id", "channel", "customer_id") if getattr(columns, name) is None and name in names}
    return replace(columns, **usual)


def _id_of(values: dict[str, Any], columns: Columns, seen: set[bytes]) -> str | None:
    value = values.get(columns.id) if columns.id else None
    if value is None or value == "":
        return None
    name = str(value)
    if len(name) > MAX_ID or "\0" in name:
        raise InputError(f"the id {name[:20]!r}… is longer than {MAX_ID} characters or holds a NUL")
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).digest()
    if digest in seen:
        raise InputError(f"the id {name!r} stands further up already")
    seen.add(digest)
    return name
