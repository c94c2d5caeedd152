"""Templates, stylesheet and script of the page, and the headers every page of it goes out with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from serve.review_page import words

STATIC = Path(__file__).resolve().parent / "static"
ASSETS = {"review.css": "text/css", "review.js": "text/javascript", "icon.svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"  # a year: another content has another address
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would not tell where a form comes from
}


def page(template: str, values: Mapping[str, object], *, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Return a page of a template; every value in it is text, whatever it holds."""
    text = _environment().get_template(template).render(**values)
    return HTMLResponse(text, status_code=status, headers=HEADERS | (headers or {}))


async def serve_asset(request: Request) -> Response:
    """Answer with a file of the package by the address that ``asset`` gives it."""
    name = request.path_params["name"]
    for file, kind in ASSETS.items():
        if name == _address(file):
            more = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
            return Response(_content(file), media_type=kind, headers=more)
    raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file: open /review again")


def asset(file: str) -> str:
    """Return the address of a file of the package, which changes with its content."""
    return f"/review/static/{_address(file)}"


@cache
def _address(file: str) -> str:
    return f"{hashlib.sha256(_content(file)).hexdigest()[:16]}.{file}"


@cache
def _content(file: str) -> bytes:
    return (STATIC / file).read_bytes()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("serve.review_page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"asset": asset, "words": words, "name": None}
    return environment
