"""The addresses of the review page."""

from __future__ import annotations

import time

from fastapi import APIRouter

from serve.review_page import item
from serve.review_page.door import SIGN_IN, Door, KeyVerifier, shown
from serve.review_page.queue import show_queue, tell_change
from serve.review_page.render import serve_asset
from serve.review_page.session import Clock
from serve.review_page.signing import SigningIn, sign_out


def review_page(keys: KeyVerifier | None, clock: Clock = time.time) -> APIRouter:
    """Return the routes below ``/review``; with ``keys`` None a name is enough to sign in.

    They ask for no API key in a header: they have a sign-in of their own. ``clock`` gives seconds since 1970.
    """
    door, router = Door(keys, clock), APIRouter()
    signing = SigningIn(door)
    router.add_route(SIGN_IN, shown(signing.ask), ["GET"], include_in_schema=False)
    router.add_route(SIGN_IN, shown(signing.answer), ["POST"], include_in_schema=False)
    router.add_route("/review/sign-out", door.behind(sign_out, renews=False), ["POST"], include_in_schema=False)
    router.add_route("/review/static/{name}", shown(serve_asset), ["GET"], include_in_schema=False)
    router.add_route("/review", door.behind(show_queue), ["GET"], include_in_schema=False)
    router.add_route("/review/change", door.behind(tell_change, renews=False), ["GET"], include_in_schema=False)
    router.add_route("/review/items/{request_id}", door.behind(item.show_item), ["GET"], include_in_schema=False)
    for name, view in (("claim", item.claim), ("acknowledge", item.acknowledge), ("resolve", item.resolve), ("read", item.read_whole)):
        router.add_route(f"/review/items/{{request_id}}/{name}", door.behind(view), ["POST"], include_in_schema=False)
    return router
