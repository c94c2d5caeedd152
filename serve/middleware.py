"""Pure ASGI middleware: a request id for everybody, a bound on the body before it is read."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RequestId:
    """Give every request an id of our own, on its state and as ``X-Request-ID`` on its response.

    A client's own id is not taken over: ids name rows in the ledger and must not repeat.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self._app(scope, receive, with_id)


class BodyLimit:
    """Refuse a body above ``max_bytes`` with 413, by its declared length or as it comes in."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Wrap ``app``."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._refuse(scope, send)
            return
        read: list[Message] = []
        size = 0
        while True:
            message = await receive()
            read.append(message)
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                await self._refuse(scope, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Message:
            return read.pop(0) if read else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": f"the body may have at most {self._max_bytes} bytes",
            "request_id": scope["state"]["request_id"],
        }
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})
