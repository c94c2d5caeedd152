"""What a path needs: nothing, any key, or a key with a scope. What nobody thought of needs a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serve.client import Scope


class Need(StrEnum):
    """What a path needs where it needs no scope."""

    NOTHING = "nothing"  # open to everybody; a key is not even looked at
    OWN_SESSION = "own session"  # whoever is there asks for a session of its own; a key is checked where one is sent
    ANY_KEY = "any key"


@dataclass(frozen=True)
class Rules:
    """Open paths exactly as they stand; pages with a session and the API by what their path begins with, the first that fits."""

    open_paths: frozenset[str]
    session_pages: tuple[str, ...]
    session_scope: Scope
    scopes: Mapping[str, Scope]

    def need(self, path: str) -> Need | Scope:
        """Return what a path needs."""
        if path in self.open_paths:
            return Need.NOTHING
        if any(path == page or path.startswith(f"{page}/") for page in self.session_pages):
            return Need.OWN_SESSION
        return next((scope for start, scope in self.scopes.items() if path.startswith(start)), Need.ANY_KEY)


RULES = Rules(
    open_paths=frozenset({"/health", "/ready", "/metrics", "/docs", "/openapi.json"}),
    session_pages=("/review",),
    session_scope=Scope.REVIEW,
    scopes={
        "/api/v1/classify": Scope.CLASSIFY,
        "/api/v1/jobs": Scope.CLASSIFY,
        "/api/v1/escalations": Scope.REVIEW,
        "/api/v1/releases": Scope.ADMIN,
    },
)
