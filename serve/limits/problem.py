"""Send a problem (RFC 9457) from a middleware, where no framework is at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import Scope, Send


async def send_problem(scope: Scope, send: Send, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
    """Answer a request with a problem, which has the request's id."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "request_id": scope.get("state", {}).get("request_id"),
    }
    raw = json.dumps(body).encode()
    fields = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(raw)).encode())]
    fields += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": int(status), "headers": fields})
    await send({"type": "http.response.body", "body": raw})
