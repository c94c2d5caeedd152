"""The outermost middleware: each request gets its id, its access line, its metrics and, whatever happens within, its answer."""

from __future__ import annotations

import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from serve import problems
from serve.access.headers import Header, security_headers, with_security_headers
from serve.draining import Draining
from serve.telemetry import Telemetry, timing
from serve.telemetry.crowd import Crowd
from serve.telemetry.routes import Routes, method_of
from serve.telemetry.timing import Served, server_timing

if TYPE_CHECKING:
    from serve.telemetry.traces import Tracing

CLASSIFY = "/api/v1/classify"
CLIENT_LEFT = 499  # nginx's number for who did not wait for the answer
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_log = logging.getLogger("serve.access")


class Entry:
    """Give every request an id of our own, on its state and as ``X-Request-ID``; log and count it; answer what is left unanswered.

    Of requests that are shed not each has its line: see ``Crowd``.

    A client's own id is not taken over: ids name rows in the ledger and must not repeat. Within, ``scope["state"]`` holds
    ``request_id``; ``timings``, seconds by name, for whoever measures something; ``told``, what the access log shall tell besides.
    """

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, tracing: Tracing | None = None, *, draining: Draining | None = None, tls: bool = False
    ) -> None:
        """Wrap ``app``, tell ``telemetry``, and where traces are wanted ``tracing``; ``tls`` says that this process ends TLS itself."""
        self._app, self._telemetry, self._tracing, self._draining = app, telemetry, tracing, draining
        self._security = security_headers(tls=tls)
        self._routes: Routes | None = None
        self._shed = Crowd()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if "app" in scope:
                self._routes = Routes(scope["app"])  # when the app starts, not for the first request, which would wait for it
            await self._app(scope, receive, send)
            self._shed.tell()  # what the last second's timer would have told
            return
        started, request_id, route = time.perf_counter(), str(uuid.uuid4()), self._route(scope)
        state: dict[str, Any] = scope.setdefault("state", {})
        state |= {"request_id": request_id, "timings": {}, "told": {}}
        status = CLIENT_LEFT

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(message.get("headers", []), state, time.perf_counter() - started)
            await send(message)

        self._telemetry.began()
        token = timing.current.set(state["timings"])
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answering)
            except Exception:
                _log.exception("the request could not be handled", extra={"route": route})
                if status != CLIENT_LEFT:
                    raise  # half an answer is out: the server must break the connection off
                await problems.send_problem(scope, answering, HTTPStatus.INTERNAL_SERVER_ERROR, problems.UNEXPECTED)
            finally:
                timing.current.reset(token)
                self._ended(_served(scope, route, status, started))

    def _headers(self, headers: list[Header], state: dict[str, Any], total_s: float) -> list[Header]:
        added = [(b"x-request-id", state["request_id"].encode())]
        if state["timings"]:
            added.append((b"server-timing", server_timing(state["timings"], total_s).encode()))
        if self._draining is not None and self._draining.begun:
            added.append((b"connection", b"close"))  # the client's next request goes to another process
        return with_security_headers([*headers, *added], self._security)

    def _route(self, scope: Scope) -> str:
        if self._routes is None:
            self._routes = Routes(scope["app"])
        return self._routes(scope["path"])

    def _ended(self, served: Served) -> None:
        took_s = served.ended - served.started
        self._telemetry.ended(served.method, served.route, served.status, took_s, served.request_id)
        if served.route == CLASSIFY:
            self._telemetry.classified(served.status)
        if _log.isEnabledFor(logging.INFO) and ("shed" not in served.told or self._shed.has_own_line()):
            _log.info("request", extra=_line(served, took_s))
        if self._tracing is not None:
            self._tracing.record(served)


def _served(scope: Scope, route: str, status: int, started: float) -> Served:
    state = scope["state"]
    client = state.get("client")
    return Served(
        method=method_of(scope["method"]),
        route=route,
        status=status,
        request_id=state["request_id"],
        started=started,
        ended=time.perf_counter(),
        client=client.id if client else None,
        traceparent=_traceparent(scope),
        handled_at=state.get("handled_at"),
        timings=state["timings"],
        told=state["told"],
    )


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            text = value.decode("latin-1")
            return text if _TRACEPARENT.fullmatch(text) else None
    return None


def _line(served: Served, took_s: float) -> dict[str, Any]:
    line = {"method": served.method, "route": served.route, "status": served.status, "duration_ms": round(took_s * 1000, 2)}
    if served.client is not None:
        line["client"] = served.client
    return line | {f"{name}_ms": round(seconds * 1000, 2) for name, seconds in served.timings.items()} | dict(served.told)
