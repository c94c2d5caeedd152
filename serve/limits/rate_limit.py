"""Refuse a client that asks too often: 429 with the seconds after which it may ask again."""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.client import ANYBODY, Client
from serve.limits.bucket import Taken, TakesTokens
from serve.limits.paths import is_post_below
from serve.problems import send_problem


class RateLimit:
    """Give each client a token bucket; a request to one of ``paths`` is a token.

    A client is the API key's. Where keys are off it is the peer's address, and never what a header says: run uvicorn with
    ``proxy_headers=False``, for else it takes the peer from ``X-Forwarded-For``. Every answer says what is left, with the fields
    of draft-ietf-httpapi-ratelimit-headers-11.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        buckets: TakesTokens,
        paths: tuple[str, ...],
        per_minute: int,
        burst: int | None = None,
        on_limited: Callable[[], None] = lambda: None,
    ) -> None:
        """Wrap ``app``; ``per_minute`` 0 is no limit, ``burst`` None as many as a minute's."""
        self._app = app
        self._buckets = buckets
        self._paths = paths
        self._per_minute = per_minute
        self._burst = burst
        self._on_limited = on_limited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if not is_post_below(scope, self._paths):
            await self._app(scope, receive, send)
            return
        client: Client = scope.get("state", {}).get("client", ANYBODY)
        per_minute = self._per_minute if client.requests_per_minute is None else client.requests_per_minute
        if per_minute == 0:
            await self._app(scope, receive, send)
            return
        burst = self._burst or per_minute
        taken = await self._buckets.take(_key(client, scope), per_minute=per_minute, burst=burst)
        fields = _fields(taken, per_minute, burst)

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *fields]
            await send(message)

        if taken.allowed:
            await self._app(scope, receive, with_fields)
            return
        self._on_limited()
        seconds = math.ceil(taken.retry_after_s)
        detail = f"{per_minute} requests a minute are allowed, {burst} at once; ask again in {seconds} s"
        await send_problem(scope, with_fields, HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def _key(client: Client, scope: Scope) -> str:
    if client is not ANYBODY:
        return f"client:{client.id}"
    peer = scope.get("client")  # None on a Unix socket
    return f"peer:{peer[0] if peer else ''}"


def _fields(taken: Taken, per_minute: int, burst: int) -> list[tuple[bytes, bytes]]:
    window = -(-burst * 60 // per_minute)  # seconds in which an empty bucket fills
    policy = b'"requests";q=%d;w=%d' % (burst, window)
    left = b'"requests";r=%d;t=%d' % (taken.remaining, math.ceil(taken.more_in_s))
    return [(b"ratelimit-policy", policy), (b"ratelimit", left)]
