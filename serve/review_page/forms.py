"""What a form sent, and whether it came from our own page."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import SplitResult, parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from orchestrator.incoming import storable

MOST_FIELDS = 16  # no form of ours has as many
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, trimmed; raise ``HTTPException`` (400) for a body that is none."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(HTTPStatus.BAD_REQUEST, "this is not a form of this page")
    try:
        body = (await request.body()).decode("ascii")
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace")
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
    return {name: str(storable(value)).replace("\r\n", "\n").strip() for name, value in fields}


def is_same_origin(request: Request) -> bool:
    """Say whether a form was sent by a page of the host it was sent to: browsers tell it with every POST.

    The scheme is not compared: TLS may end in front of us. Who stands there must pass the Host header on.
    """
    return _origin(request).netloc.lower() == request.headers.get("host", "").lower() != ""


def is_loopback(request: Request) -> bool:
    """Say whether the browser runs on this machine, by the address it was given."""
    return request.url.hostname in LOOPBACK


def is_readable_on_the_way(request: Request) -> bool:
    """Say whether the browser sent the form by plain HTTP over a network."""
    return _origin(request).scheme == "http" and not is_loopback(request)


def _origin(request: Request) -> SplitResult:
    try:
        return urlsplit(request.headers.get("origin", ""))
    except ValueError:  # no address at all
        return urlsplit("")
