"""When a request must be answered: ``X-Request-Deadline``, in seconds from its arrival, and never later than the service's own bound."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from serve.problems import send_problem

HEADER = "X-Request-Deadline"
_FIELD = HEADER.lower().encode()
_SECONDS = re.compile(rb"[ \t]*(-?\d{1,12}(?:\.\d{1,20})?)[ \t]*")


class Deadline:
    """A moment of a monotonic clock. Seconds left are passed on, never the moment: other clocks have other beginnings."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Set it in ``seconds`` from now."""
        self._clock = clock
        self._at = clock() + seconds

    def left_s(self) -> float:
        """Return the seconds left; below zero once it has passed."""
        return self._at - self._clock()


class RequestDeadline:
    """Put a ``Deadline`` on the state of every request, counted from here: waiting in a queue is part of it.

    A value that is no decimal number is a 400. One that is zero or less is a 504 at once: whoever asks has given up, and nothing is done.
    """

    def __init__(self, app: ASGIApp, *, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap ``app``; ``longest_s`` is the deadline of a request that names none, and the most that one may have."""
        self._app = app
        self._longest_s = longest_s
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds = self._longest_s
        asked = [value for name, value in scope["headers"] if name == _FIELD]
        if asked:
            match = _SECONDS.fullmatch(b",".join(asked))
            if match is None:
                detail = f"{HEADER}: the seconds left as one decimal number, such as 2.5"
                await send_problem(scope, send, HTTPStatus.BAD_REQUEST, detail)
                return
            seconds = min(seconds, float(match[1]))
            if seconds <= 0:
                detail = f"{HEADER}: the deadline had passed when the request came; nothing was done"
                await send_problem(scope, send, HTTPStatus.GATEWAY_TIMEOUT, detail)
                return
        scope.setdefault("state", {})["deadline"] = Deadline(seconds, self._clock)
        await self._app(scope, receive, send)
