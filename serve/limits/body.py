"""Read a request's body whole, within bounds of size and time, before anything waits for it or parses it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.limits.deadline import Deadline
from serve.problems import send_problem

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyLimit:
    """Refuse a body that is too long with 413, one that does not come within the request's deadline with 408.

    The body goes on as one message. All bodies held at once have ``max_held_bytes`` at most; beyond them one gets 503. A client that
    leaves before its body is whole gets no answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        max_bytes_below: Mapping[str, int] | None = None,
        max_held_bytes: int = 134_217_728,  # some eight of the longest batches
        seconds: float = 30.0,
    ) -> None:
        """Wrap ``app``; ``max_bytes_below`` has other bounds by the beginning of the path, ``seconds`` holds for who has no deadline."""
        self._app = app
        self._max_bytes = max_bytes
        self._below = dict(max_bytes_below or {})
        self._max_held_bytes = max_held_bytes
        self._seconds = seconds
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        reading = _Reading()
        try:
            refusal = await self._read(scope, receive, reading)
            if refusal:
                await send_problem(scope, send, refusal.status, refusal.detail, headers=refusal.headers)
            elif not reading.gone:
                await self._app(scope, reading.replay(receive), send)
        finally:
            self.held_bytes -= reading.size

    async def _read(self, scope: Scope, receive: Receive, reading: _Reading) -> _Refusal | None:
        limit = next((most for path, most in self._below.items() if scope["path"].startswith(path)), self._max_bytes)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if declared.isdigit() and int(declared[:20]) > limit:  # 20 digits are more than any limit, and soon read
            return _too_long(limit)
        deadline: Deadline | None = scope.get("state", {}).get("deadline")
        try:
            async with asyncio.timeout(deadline.left_s() if deadline else self._seconds):
                while reading.more:
                    took = reading.take(await receive())
                    self.held_bytes += took
                    if reading.size > limit:
                        return _too_long(limit)
                    if self.held_bytes > self._max_held_bytes and reading.size > self._max_bytes:  # single messages are let in still
                        return _HELD
        except TimeoutError:
            return _LATE
        return None


class _Refusal(NamedTuple):
    status: HTTPStatus
    detail: str
    headers: dict[str, str]


_HELD = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too much is being sent at once; send it again in 1 s", {"Retry-After": "1"})
_LATE = _Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "the body did not come before the request's deadline",
    {"Connection": "close"},  # nobody waits for the rest of it
)


def _too_long(limit: int) -> _Refusal:
    return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have at most {limit} bytes", {})


class _Reading:
    """A body as it comes in."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.more = True
        self.gone = False

    def take(self, message: Message) -> int:
        """Take one message and return its size."""
        chunk = message.get("body", b"")
        self.chunks.append(chunk)
        self.size += len(chunk)
        self.gone = message["type"] == "http.disconnect"
        self.more = bool(message.get("more_body")) and not self.gone
        return len(chunk)

    def replay(self, receive: Receive) -> Receive:
        """Return what gives the whole body once, and then what else comes."""
        body: list[Message] = [{"type": "http.request", "body": b"".join(self.chunks), "more_body": False}]
        self.chunks.clear()

        async def replay() -> Message:
            return body.pop() if body else await receive()

        return replay
