"""Errors as RFC 9457 problem details, each with the id of its request and none with the message's text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope, Send

from orchestrator.errors import StoreUnavailableError
from orchestrator.redact import redact

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "2"  # a database that restarts is back within seconds
UNEXPECTED = "the request could not be handled; quote the request id"
UNKNOWN_FIELD = "(unknown field)"
MOST_ERRORS = 20  # a body of 64 kB may hold thousands of unknown fields, and each is looked at
_FIELD = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}|[0-9]{1,4}")  # the name of a field of ours, or a place in a list


def problem(request: Request, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """Return a problem response."""
    body = _body(request.scope, status, detail) | more
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


async def send_problem(scope: Scope, send: Send, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
    """Answer a request with a problem from within a middleware, where there is no app yet to do so."""
    body = json.dumps(_body(scope, status, detail)).encode()
    told = {"content-type": MEDIA_TYPE, "content-length": str(len(body))} | dict(headers or {})
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": raw})
    await send({"type": "http.response.body", "body": body})


def field_of(parts: tuple[Any, ...], kind: str) -> str:
    """Return where something is wrong, and of names that the client made up none; ``kind`` is pydantic's type of the error."""
    known = parts[:-1] if kind == "extra_forbidden" else parts
    names = [str(part) if _FIELD.fullmatch(str(part)) else UNKNOWN_FIELD for part in known]
    return ".".join([*names, UNKNOWN_FIELD] if kind == "extra_forbidden" else names) or "body"


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreUnavailableError, _store_down)
    app.add_exception_handler(Exception, _unexpected)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what the handler is registered for
    # pydantic's report repeats the input: only where and why are passed on, and no name that the client made up.
    errors = [{"field": field_of(one["loc"][1:], one["type"]), "reason": redact(one["msg"])} for one in error.errors()[:MOST_ERRORS]]
    detail = "; ".join(f"{one['field']}: {one['reason']}" for one in errors)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # what the handler is registered for
    return problem(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _store_down(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  # its text names hosts and files
    detail = "the store does not take anything at the moment; nothing was acknowledged, make the same request again"
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER_S})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  # nothing of it may leak
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)


def _body(scope: Scope, status: int, detail: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "request_id": scope.get("state", {}).get("request_id"),
    }
