"""Let so many requests be under way at once, and shed the others with 503 before anything of them is parsed."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.limits.deadline import Deadline
from serve.limits.paths import is_post_below
from serve.limits.raw_flags import Looking
from serve.limits.slots import Shed, Slots
from serve.problems import send_problem


class Admission:
    """Give each request to one of ``paths`` a slot, or a place in the queue, or 503 with ``Retry-After``.

    It stands behind ``BodyLimit``: whoever waits here has sent all, so that no slow sender holds a slot. Only when all ordinary slots
    are taken, and while there is room for urgent requests, is the body looked at, unparsed, for a red flag. A client that leaves while
    it waits is forgotten.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        slots: Slots,
        paths: tuple[str, ...],
        queue_seconds: float,
        on_shed: Callable[[str], None] = lambda _: None,
        is_urgent: Callable[[bytes], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap ``app``; ``on_shed`` is told the reason, one of ``Shed``."""
        self._app = app
        self._slots = slots
        self._paths = paths
        self._queue_seconds = queue_seconds
        self._on_shed = on_shed
        self._is_urgent = is_urgent or Looking()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if not is_post_below(scope, self._paths):
            await self._app(scope, receive, send)
            return
        if not self._slots.enter():
            body, came = await receive(), self._clock()
            urgent = self._slots.has_room_for_urgent() and self._is_urgent(body.get("body", b""))
            shed = await self._slots.wait(urgent=urgent, at_most_s=self._patience_s(scope), gone=_leaving(body, receive))
            if shed:
                await self._refuse(scope, send, shed, urgent=urgent)
                return
            receive = _replay(body, receive)
            scope.setdefault("state", {}).setdefault("timings", {})["queue"] = self._clock() - came
        started = self._clock()
        try:
            await self._app(scope, receive, send)
        finally:
            self._slots.leave(self._clock() - started)

    def _patience_s(self, scope: Scope) -> float:
        deadline: Deadline | None = scope.get("state", {}).get("deadline")
        return min(self._queue_seconds, deadline.left_s()) if deadline else self._queue_seconds

    async def _refuse(self, scope: Scope, send: Send, shed: Shed, *, urgent: bool) -> None:
        self._on_shed(shed.value)
        scope.setdefault("state", {}).setdefault("told", {})["shed"] = shed.value
        if shed is Shed.GONE:
            return
        seconds = max(1, math.ceil(self._slots.free_in_s(urgent=urgent)))
        detail = f"too many requests are under way; nothing was done, ask again in {seconds} s"
        await send_problem(scope, send, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(seconds)})


def _leaving(body: Message, receive: Receive) -> Callable[[], Awaitable[bool]] | None:
    if body.get("more_body"):
        return None

    async def gone() -> bool:
        return bool((await receive())["type"] == "http.disconnect")  # after a whole body nothing else comes

    return gone


def _replay(body: Message, receive: Receive) -> Receive:
    left = [body]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay
