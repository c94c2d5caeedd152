"""The OpenAPI document made whole: what the layers around the routes ask for and answer, on every operation that they stand before."""

from __future__ import annotations

from typing import Any

from serve.access import describe_access
from serve.access.openapi import METHODS
from serve.declared import PROBLEM, REQUEST_ID, problem_of
from serve.layers import CLASSIFY
from serve.limits.body import BODILESS
from serve.limits.deadline import HEADER

DEADLINE = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "seconds from now in which an answer is of use; the service's own bound holds besides, and what has passed is a 504",
    "schema": {"type": "string", "pattern": r"^(0\.[0-9]{0,9}[1-9][0-9]{0,9}|[1-9][0-9]{0,11}(\.[0-9]{1,20})?)$"},
    "example": "2.5",
}
LIMITS = {
    "RateLimit-Policy": {"description": "requests and seconds of the limit; none where there is no limit", "schema": {"type": "string"}},
    "RateLimit": {"description": "requests that are left, and seconds until there are more", "schema": {"type": "string"}},
}
ANYWHERE = (400, 500, 504)  # the deadline's header is malformed, or has passed; what nobody foresaw
WITH_A_BODY = (408, 413, 503)  # it came too slowly, was too long, or was one of too many
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Add to FastAPI's document what its routes do not know; the same document is changed and returned. Errors are problems throughout."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                _describe(item[method], path, method.upper())
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    return describe_access(document)


def _describe(operation: dict[str, Any], path: str, method: str) -> None:
    limited = method == "POST" and path.startswith(CLASSIFY)
    responses = operation["responses"]
    _without_fastapis_own(operation)
    for status in (*ANYWHERE, *(() if method in BODILESS else WITH_A_BODY), *((429, 503) if limited else ())):
        responses.setdefault(str(status), problem_of(status))
    for response in responses.values():
        response["headers"] = response.get("headers", {}) | REQUEST_ID | (LIMITS if limited else {})
    operation["parameters"] = [*operation.get("parameters", []), DEADLINE]
    operation["responses"] = dict(sorted(responses.items()))


def _without_fastapis_own(operation: dict[str, Any]) -> None:
    """Say that a 422 is a problem; where nothing can be wrong, as with a text of any form in the path, there is none."""
    response = operation["responses"].get("422", {})
    if "HTTPValidationError" not in str(response):
        return
    del operation["responses"]["422"]
    bounded = any(one["in"] == "query" or set(one["schema"]) - {"type", "title"} for one in operation.get("parameters", []))
    if "requestBody" in operation or bounded:
        operation["responses"]["422"] = problem_of(422)
