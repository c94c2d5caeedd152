"""Why a request is refused: the reason that is counted, the status, and what the client is told."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus

REALM = 'Bearer realm="orchestrator"'


class Refusal(StrEnum):
    """Why a request is refused."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SCOPE = "scope"

    @property
    def status(self) -> HTTPStatus:
        """403 for a client that is known and may not, 401 for all others."""
        return HTTPStatus.FORBIDDEN if self is Refusal.SCOPE else HTTPStatus.UNAUTHORIZED

    @property
    def detail(self) -> str:
        """What is wrong and what to do. Expired and revoked are told only to who knows the secret; no key is ever repeated."""
        return _DETAILS[self]

    def challenge(self, scope: str | None) -> str:
        """Return ``WWW-Authenticate`` as RFC 6750 has it: no error code where no key was sent."""
        if self is Refusal.MISSING:
            return REALM
        if self is Refusal.SCOPE:
            return f'{REALM}, error="insufficient_scope", scope="{scope}"'
        return f'{REALM}, error="invalid_token"'


_DETAILS = {
    Refusal.MISSING: "an API key is needed: send `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    Refusal.AMBIGUOUS: "more than one API key was sent: send one",
    Refusal.MALFORMED: "the API key is cut off or mistyped: it does not fit its own checksum",
    Refusal.UNKNOWN: "the API key is not valid here",
    Refusal.EXPIRED: "the API key has expired: ask for a new one",
    Refusal.REVOKED: "the API key was revoked: ask for a new one",
    Refusal.SCOPE: "the API key may not do this",
}
