"""The reply cache: an LLM around an LLM that never asks for the same reply twice.

It is what makes a run resumable: every reply is stored the moment it arrives, so a run that was
interrupted, even by kill -9, goes on where it stopped.
"""

from __future__ import annotations

import sqlite3
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
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")  # survives kill -9; a power cut costs the last replies
        self._connection.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")

    def get(self, key: str) -> Reply | Failure | None:
        """Return what is stored for a key, or None."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return _stored.validate_json(row[0]) if row else None

    def put(self, key: str, reply: Reply | Failure) -> None:
        """Store a reply; the first one stored stays."""
        self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply.model_dump_json()))

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file."""
        self._connection.close()


class Cached:
    """An LLM that looks in the cache first. ``hits`` and ``misses`` count."""

    def __init__(self, llm: LLM, cache: ReplyCache) -> None:
        """Wrap ``llm``."""
        self._llm = llm
        self._cache = cache
        self.hits = 0
        self.misses = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request, from the cache where it is there."""
        key = request.key()
        if (stored := self._cache.get(key)) is not None:
            self.hits += 1
            return stored
        self.misses += 1
        reply = await self._llm(request)
        if isinstance(reply, Reply) or reply.kind in LASTING:
            self._cache.put(key, reply)
        return reply
