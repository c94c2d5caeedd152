"""Problems as the OpenAPI document declares them: one schema, and for every status its own words, example and headers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from serve.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, by RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "what is wrong and what to do; never a message's text"},
        "request_id": {"type": "string", "description": "the same as in X-Request-ID: quote it"},
        "errors": {
            "description": "with 422: what is wrong with each field",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
        "claimed_by": {
            "description": "with 409 of an escalation: who has it, null where nobody has",
            "anyOf": [{"type": "string"}, {"type": "null"}],
        },
        "escalation_status": {"description": "with 409 of an escalation: how far it is", "type": "string"},
    },
}
REQUEST_ID = {"X-Request-ID": {"description": "this request's id", "required": True, "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "what is wanted, by RFC 6750", "required": True, "schema": {"type": "string"}}}
_HEADERS: dict[int, dict[str, Any]] = {401: _CHALLENGE, 403: _CHALLENGE, 409: _RETRY_AFTER, 429: _RETRY_AFTER, 503: _RETRY_AFTER}
_TOLD = {
    400: "The body, X-Request-Deadline or the idempotency key is malformed.",
    401: "There is no API key, or one that is not valid.",
    403: "The API key may not do this.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body did not come before the request's deadline.",
    409: "It does not fit what is under way, or how things are by now; with Retry-After, make the same request again.",
    413: "The body is too long.",
    422: "The request does not have the form it must have, or the idempotency key was used for another one.",
    429: "Too many requests; see Retry-After.",
    500: "The request could not be handled; quote its id.",
    503: "Overloaded, starting or draining, or the store does not answer: nothing was accepted; see Retry-After.",
    504: "The deadline had passed when the request came; nothing was done.",
}


def problem_of(status: int, description: str | None = None) -> dict[str, Any]:
    """Return the response of a status, as OpenAPI has it."""
    told = description or _TOLD[status]
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": told}
    declared = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example | {"request_id": _AN_ID}}
    headers = REQUEST_ID | _HEADERS.get(status, {})
    return {"description": told, "headers": headers, "content": {MEDIA_TYPE: declared}}


def problems(*statuses: int) -> Responses:
    """Return the responses of the statuses that a route itself answers with; those of the layers around it are added to the document."""
    return {status: problem_of(status) for status in statuses}


_AN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
