"""Errors as RFC 9457 problem details, each with the id of its request and none with the message's text."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from orchestrator.errors import StoreUnavailableError

RETRY_AFTER_S = "2"  # a database that restarts is back within seconds


def problem(request: Request, status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """Return a problem response."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request.state.request_id,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreUnavailableError, _store_down)
    app.add_exception_handler(Exception, _unexpected)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what the handler is registered for
    # pydantic's report repeats the input: only where and why are passed on.
    errors = [{"field": ".".join(str(part) for part in one["loc"][1:]) or "body", "reason": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['field']}: {one['reason']}" for one in errors)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # what the handler is registered for
    return problem(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _store_down(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  # its text names hosts and files
    detail = "the store does not take anything at the moment; nothing was acknowledged, make the same request again"
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER_S})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  # nothing of it may leak
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "the request could not be handled; quote the request id")
