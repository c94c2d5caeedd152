"""The audit chain: every event holds the hash of the one before it, so nothing can be changed, taken out or put in unseen.

``hash = SHA-256(previous_hash + event)``, where ``event`` is the stored text, canonical JSON. The first event follows 64 zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from orchestrator.store.checkpoints import HEAD, KEPT, PRUNED, Checkpoint, forged, read_checkpoints
from orchestrator.store.tables import AuditEvent

GENESIS = "0" * 64
PAGE = 1000  # audit events held in memory at once
# Made once, not for every transaction: see ``orchestrator.store.writer``.
_INSERT = insert(AuditEvent)
_LAST = select(AuditEvent.id, AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)


@dataclass(frozen=True)
class Head:
    """The last event of the chain; id 0 where there is none yet."""

    id: int
    hash: str


HashOf = Callable[[int], str | None]  # the hash of an event by its id, None where it is missing
Found = Callable[[Head, HashOf], None]  # is told the end of the chain that a writer found, and how to look further back


def canonical(event: dict[str, Any]) -> str:
    """Return the text that is hashed and stored."""
    return json.dumps(event, sort_keys=True)


def link(previous: str, text: str) -> str:
    """Return the hash of an event that follows the one with hash ``previous``."""
    return hashlib.sha256((previous + text).encode()).hexdigest()


def append(connection: Connection, events: Sequence[dict[str, Any]], found: Found = lambda *_: None) -> Head:
    """Add events to the end of the chain and return the new end; the caller's transaction has that end to itself.

    ``found`` is told the end that was found.
    """
    head = read_head(connection)
    found(head, lambda number: head.hash if number == head.id else _hash_of(connection, number))
    rows, number, previous = [], head.id, head.hash
    for event in events:
        text = canonical(event)
        number, follows = number + 1, previous
        previous = link(follows, text)
        rows.append({"id": number, "previous_hash": follows, "hash": previous, "event": text})
    if rows:
        connection.execute(_INSERT, rows)
    return Head(number, previous)


def read_head(connection: Connection) -> Head:
    """Return the end of the chain."""
    last = connection.execute(_LAST).first()
    return Head(last.id, last.hash) if last else Head(0, GENESIS)


def _hash_of(connection: Connection, number: int) -> str | None:
    found: str | None = connection.scalar(select(AuditEvent.hash).where(AuditEvent.id == number))
    return found


def read_links(connection: Connection, after_id: int = 0) -> Generator[tuple[int, str, str, str]]:
    """Yield (id, previous hash, hash, event text) in the chain's order, a page in memory at a time."""
    columns = select(AuditEvent.id, AuditEvent.previous_hash, AuditEvent.hash, AuditEvent.event)
    query = columns.where(AuditEvent.id > after_id).order_by(AuditEvent.id).execution_options(yield_per=PAGE)
    with connection.execute(query) as rows:
        for page in rows.partitions():
            yield from map(tuple, page)


def verify(connection: Connection, folder: Path, public_key: str) -> list[str]:
    """Return what is wrong with the chain, in words; nothing when it holds from end to end and to its checkpoints in ``folder``.

    Finds every event that was edited, deleted, put in or moved, and a tail cut off behind the last signed head.
    """
    problems, signed = _read_signed(folder, public_key)
    cuts = {entry.hash: entry.id for entry in signed[PRUNED]}
    expected = {entry.id: entry.hash for name in (KEPT, HEAD) for entry in signed[name]}
    last, previous = 0, None
    for number, follows, digest, text in read_links(connection):
        if previous is None and follows in cuts:  # retention cut the chain off here, and says so
            expected = {id_: hash_ for id_, hash_ in expected.items() if id_ > cuts[follows]}
        elif follows != (previous or GENESIS):
            problems.append(f"audit event {number} does not follow the one before it")
        if digest != hashlib.sha256((follows + text).encode()).hexdigest():
            problems.append(f"audit event {number} was changed after it was written")
        if expected.pop(number, digest) != digest:
            problems.append(f"audit event {number} is not the one that was signed")
        last, previous = number, digest
    if beyond := [number for number in expected if number > last]:
        problems.append(f"the chain ends at audit event {last}, but event {max(beyond)} was signed: its end was cut off")
    problems += [f"audit event {number} was signed and is missing" for number in sorted(expected) if number <= last]
    if last and not signed[HEAD]:
        problems.append(f"there is no signed head in {folder}: whether the chain's end was cut off cannot be told")
    return problems


def _read_signed(folder: Path, public_key: str) -> tuple[list[str], dict[str, list[Checkpoint]]]:
    problems, signed = [], {}
    for name in (HEAD, KEPT, PRUNED):
        entries = read_checkpoints(folder / name)
        false = forged(entries, name, public_key)
        problems += [f"{folder / name}: the signature of event {entry.id} is not of this key" for entry in false]
        signed[name] = [entry for entry in entries if entry not in false]
    return problems, signed
