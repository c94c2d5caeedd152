"""The API keys of a running service: ``key -> Client | Refusal``, read anew when their file changes."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from serve.access import key_file
from serve.access.key import ApiKey
from serve.access.key_file import ApiKeysError, KeyFile, StoredKey
from serve.access.refusal import Refusal
from serve.client import Client, Scope

CHECK_EVERY_S = 1.0
NOBODYS = os.urandom(32)  # what the secret of an unknown id is compared with: no secret has this hash


class _Known(NamedTuple):
    digest: bytes
    key: StoredKey
    client: Client


class ApiKeys:
    """The keys of a file. A revoked key is refused within ``CHECK_EVERY_S`` of the command that revoked it.

    A file that is broken or gone keeps the last good keys valid; ``problem`` says what is wrong with it, ``None`` when nothing is.
    """

    def __init__(
        self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the keys; raise ``ApiKeysError`` when that cannot be done. ``clock`` counts seconds."""
        self._path = path
        self._now = now
        self._clock = clock
        self.problem: str | None = None
        self._seen = self._signature()
        self._known = _index(key_file.read(path))
        self._due = clock() + CHECK_EVERY_S

    def find(self, text: str) -> Client | Refusal:
        """Return whose key this is. An unknown id costs what a wrong secret costs."""
        key = ApiKey.parse(text)
        if key is None:
            return Refusal.MALFORMED
        known = self._known.get(key.id)
        same = hmac.compare_digest(key.digest(), NOBODYS if known is None else known.digest)
        if known is None or not same:
            return Refusal.UNKNOWN
        state = known.key.state(self._now())
        return known.client if state == "valid" else Refusal(state)

    def may(self, key_id: str, scope: Scope) -> bool:
        """Say whether the key of this id is valid and has the scope."""
        known = self._known.get(key_id)
        return known is not None and known.key.state(self._now()) == "valid" and scope in known.client.scopes

    async def refresh(self) -> None:
        """Read the file anew where it has changed, at most once a second, and in a thread: requests under way are not held up."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + CHECK_EVERY_S
        signature = self._signature()
        if signature == self._seen and self.problem is None:  # a problem may end without a change: of the file's mode, say
            return
        self._seen = signature
        try:
            known = await asyncio.to_thread(lambda: _index(key_file.read(self._path)))
        except ApiKeysError as error:
            self.problem = f"{error}; the keys read before stay valid"
            return
        if self._seen == signature:  # else a later reading has overtaken this one
            self._known, self.problem = known, None

    def _signature(self) -> tuple[int, ...]:
        """Return what differs when the file was changed or another took its place; empty where there is none."""
        try:
            now = self._path.stat()
        except OSError:
            return ()
        return now.st_mtime_ns, now.st_size, now.st_ino


def _index(held: KeyFile) -> dict[str, _Known]:
    return {
        key.id: _Known(
            bytes.fromhex(key.sha256), key, Client(id=client.id, scopes=key.scopes, requests_per_minute=client.requests_per_minute)
        )
        for client in held.clients
        for key in client.keys
    }
