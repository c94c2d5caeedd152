"""The reply cache: an LLM around an LLM that never asks for the same reply twice.

It is what makes a run resumable: every reply is stored the moment it arrives, so a run that was
interrupted, even by kill -9, goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure, FailureKind

# Only what the model itself would say again is kept; an outage is asked again.
LASTING = frozenset({FailureKind.REFUSED, FailureKind.TRUNCATED})
_stored: TypeAdapter[Reply | Failure] = TypeAdapter(Reply | Failure)


class ReplyCache:
    """Replies by request key, in SQLite. Writers in other processes may share the file."""

    def __init__(self, path: Path) -> None:
        """Open the cache, making it where it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._commit: asyncio.Handle | None = None  # of the transaction that is open
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")  # survives kill -9; a power cut costs the last replies
        self._connection.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")

    def get(self, key: str) -> Reply | Failure | None:
        """Return what is stored for a key, or None."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return _stored.validate_json(row[0]) if row else None

    def put(self, key: str, reply: Reply | Failure) -> None:
        """Store a reply before returning; the first one stored stays."""
        self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply.model_dump_json()))
        self._do_commit()

    def put_soon(self, key: str, reply: Reply | Failure, *, replace: bool = False) -> None:
        """Store a reply when the event loop turns next, together with all that came in this turn: a commit each would cost more.

        The first one stored stays, unless it is to be replaced.
        """
        if self._commit is None:
            self._connection.execute("BEGIN IMMEDIATE")
            self._commit = asyncio.get_running_loop().call_soon(self._do_commit)
        verb = "REPLACE" if replace else "IGNORE"
        self._connection.execute(f"INSERT OR {verb} INTO replies VALUES (?, ?)", (key, reply.model_dump_json()))  # noqa: S608  # constants

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file; what was put is kept, whatever happened."""
        self._do_commit()
        self._connection.close()

    def _do_commit(self) -> None:
        if self._commit is not None:
            self._commit.cancel()
            self._commit = None
            self._connection.execute("COMMIT")


class Cached:
    """An LLM that is asked only for replies that are neither stored nor under way. ``hits`` and ``misses`` count.

    Equal requests at the same time share one call; a caller that is cancelled leaves the call to the others. ``repeat`` numbers a
    further reply to the same request; repeat 0 is the reply there has always been. With ``refresh`` everything is asked anew and takes
    the place of what is stored.
    """

    def __init__(self, llm: LLM, cache: ReplyCache, *, repeat: int = 0, refresh: bool = False) -> None:
        """Wrap ``llm``."""
        self._llm = llm
        self._cache = cache
        self._repeat = repeat
        self._refresh = refresh
        self._flights: dict[str, _Flight] = {}
        self.hits = 0
        self.misses = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request, from the cache where it is there."""
        key = reply_key(request, self._repeat)
        if not self._refresh and (stored := self._cache.get(key)) is not None:
            self.hits += 1
            return stored
        self.misses += 1
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._ask(key, request)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.call)  # a call of its own, so that it outlives the caller who began it
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.call.cancel()  # nobody waits any more; does nothing to a call that has come to its end
                del self._flights[key]

    def repeat(self, number: int) -> Cached:
        """Return an LLM that answers every request for the ``number``-th time beside the first, with counts of its own."""
        return Cached(self._llm, self._cache, repeat=number, refresh=self._refresh)

    async def _ask(self, key: str, request: Request) -> Reply | Failure:
        reply = await self._llm(request)
        if isinstance(reply, Reply) or reply.kind in LASTING:
            self._cache.put_soon(key, reply, replace=self._refresh)
        return reply


@dataclass
class _Flight:
    call: asyncio.Task[Reply | Failure]
    waiting: int = 0


def reply_key(request: Request, repeat: int) -> str:
    """Return the key of a reply: the request's own for repeat 0, one derived from it for the others."""
    return request.key() if repeat == 0 else hashlib.sha256(f"{request.key()}/{repeat}".encode()).hexdigest()
