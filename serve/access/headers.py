"""Headers that browsers obey: what the API's answers may be used for, and whose pages may read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Header = tuple[bytes, bytes]

CLOSED_CSP = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

SECURITY_HEADERS: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),  # answers tell what a customer wrote about: no proxy and no browser keeps them
    (b"content-security-policy", CLOSED_CSP),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

# Two years, as the preload list wants it; subdomains are others' to decide. Only where this process ends TLS itself: a proxy says its own.
HSTS: Header = (b"strict-transport-security", b"max-age=63072000")

DOCS_CSP = "default-src 'none'; style-src {style}; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_HEADERS = ("Authorization", "X-API-Key", "Idempotency-Key", "X-Request-Deadline")
CORS_EXPOSED = ("X-Request-ID", "Retry-After", "Server-Timing", "Location")


def security_headers(*, tls: bool) -> list[Header]:
    """Return the headers of every answer; with HSTS where this process ends TLS itself."""
    return [*SECURITY_HEADERS, HSTS] if tls else SECURITY_HEADERS


def with_security_headers(sent: Sequence[Header], added: Iterable[Header] = SECURITY_HEADERS) -> list[Header]:
    """Return an answer's headers and those of ``added`` it has not set itself: a page brings a policy of its own."""
    own = {name.lower() for name, _ in sent}
    return [*sent, *(header for header in added if header[0] not in own)]


def cors_arguments(origins: Sequence[str]) -> dict[str, Any]:
    """Return what Starlette's ``CORSMiddleware`` takes to let pages of these origins call; cookies are not let through.

    It goes around ``Access``: a preflight has no key, and a page must be able to read why it was refused.
    """
    return {"allow_origins": origins, "allow_methods": CORS_METHODS, "allow_headers": CORS_HEADERS, "expose_headers": CORS_EXPOSED}
