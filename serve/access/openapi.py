"""Say in the OpenAPI document what each path needs, so that clients made from it send the key."""

from __future__ import annotations

from typing import Any

from serve.access.rules import RULES, Need, Rules
from serve.client import Scope
from serve.declared import problem_of

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, `cco_…`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same key, where `Authorization` is taken"},
}
METHODS = ("get", "put", "post", "delete", "patch")


def describe_access(document: dict[str, Any], rules: Rules = RULES) -> dict[str, Any]:
    """Add the keys to an OpenAPI document, and 401 and 403 to what needs one; the same document is changed and returned."""
    components = document.setdefault("components", {})
    components.setdefault("securitySchemes", {}).update(SCHEMES)
    for path, item in document.get("paths", {}).items():
        need = rules.need(path)
        for method in METHODS:
            if method in item and need not in {Need.NOTHING, Need.OWN_SESSION}:
                _describe(item[method], need)
    return document


def _describe(operation: dict[str, Any], need: Need | Scope) -> None:
    # OpenAPI 3.1 lets any scheme name the roles that are needed
    roles = [need.value] if isinstance(need, Scope) else []
    operation["security"] = [{"bearer": roles}, {"header": roles}]
    refusals = {401: "no valid API key was sent"} | ({403: f"the key has not the scope {need.value}"} if roles else {})
    for status, why in refusals.items():
        operation.setdefault("responses", {}).setdefault(str(status), problem_of(status, why))
