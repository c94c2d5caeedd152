"""The problems of the routes, for OpenAPI: every status a route can answer with is declared with its body."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

_TOLD = {
    400: "The body, the idempotency key or the deadline is malformed.",
    401: "There is no API key, or one that is not known.",
    403: "The API key may not do this.",
    404: "There is no such thing, or it is somebody else's.",
    405: "The method is not allowed.",
    408: "The body did not come in time.",
    409: "The same idempotency key is under way; see Retry-After.",
    413: "The body is too long.",
    422: "The body does not have the form it must have, or the idempotency key was used for another one.",
    429: "Too many requests; see Retry-After.",
    500: "The request could not be handled.",
    503: "Overloaded, starting or draining, or the store does not answer: nothing was accepted; see Retry-After.",
    504: "The deadline has passed.",
}
_RETRIED = {409, 429, 503}


class Problem(BaseModel):
    """A problem by RFC 9457."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    request_id: str
    errors: list[dict[str, str]] | None = Field(None, description="what is wrong with the body: field and reason of each")


def problem_of(status: int) -> dict[str, Any]:
    """Return the response of a status, as OpenAPI has it."""
    schema = Problem.model_json_schema()
    del schema["properties"]["errors"]["default"]  # it is left out rather than null
    declared: dict[str, Any] = {
        "description": _TOLD.get(status, HTTPStatus(status).phrase),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in _RETRIED:
        declared["headers"] = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}}
    return declared


Responses = dict[int | str, dict[str, Any]]
PROBLEMS: Responses = {status: problem_of(status) for status in (400, 401, 403, 408, 413, 422, 429, 500, 503, 504)}
"""What any route with a body can answer."""


def problems(*more: int) -> Responses:
    """Return ``PROBLEMS`` and those of more statuses."""
    return PROBLEMS | {status: problem_of(status) for status in more}
