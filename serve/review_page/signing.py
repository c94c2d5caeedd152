"""Sign in with an API key of scope ``review`` and a name, and out."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serve.client import ANYBODY, Scope
from serve.review_page.door import COOKIE, SIGN_IN, Door, Opened, Visit
from serve.review_page.forms import is_readable_on_the_way, is_same_origin, read_form
from serve.review_page.render import page

MAX_NAME, MAX_KEY = 128, 512  # characters
_OWN_PATH = re.compile(r"/review(/items/[^/\\?#]+)?")  # nobody is sent elsewhere after signing in


class SigningIn:
    """The form that asks who is there, and what becomes of it."""

    def __init__(self, door: Door) -> None:
        """Let people in by ``door``."""
        self._door = door

    async def ask(self, request: Request) -> Response:
        """Show the form."""
        return self._form(request.query_params.get("then", ""), ended="ended" in request.query_params)

    async def answer(self, request: Request) -> Response:
        """Begin a session, or say what is wrong; the key is never sent back."""
        form = await read_form(request)
        if not is_same_origin(request):
            raise HTTPException(HTTPStatus.FORBIDDEN, "this form was not sent by this page: open it again")
        name, then = form.get("name", ""), form.get("then", "")
        if is_readable_on_the_way(request):
            return self._form(then, name=name, wrong="Open this page by https: over plain http everybody on the way could read your key.")
        if not name or len(name) > MAX_NAME:
            return self._form(then, name=name[:MAX_NAME], wrong=f"Your name is needed, in at most {MAX_NAME} characters.")
        opened = await self._opened(form.get("key", ""))
        if opened is None:
            return self._form(then, name=name, wrong="This key is not known here, or it was revoked.")
        if Scope.REVIEW not in opened.client.scopes:
            return self._form(then, name=name, wrong="This key may not review: ask for one with the scope review.")
        session = self._door.sessions(request).begin(opened.key_id, name)
        return self._door.let_in(request, session, _redirect(_own(then)))

    async def _opened(self, key: str) -> Opened | None:
        keys = self._door.keys
        if keys is None:
            return Opened("", ANYBODY)
        return await keys(key) if 0 < len(key) <= MAX_KEY else None

    def _form(self, then: str, *, name: str = "", wrong: str = "", ended: bool = False) -> Response:
        status = HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK
        asks = {"asks_key": self._door.keys is not None, "typed": name, "wrong": wrong, "ended": ended, "then": _own(then)}
        return page("sign_in.html.j2", asks, status=status)


def sign_out(visit: Visit) -> Response:  # noqa: ARG001  # that it is one's own form is all it needs
    """End the session in this browser."""
    response = _redirect(SIGN_IN)
    response.delete_cookie(COOKIE, path="/review")
    return response


def _own(then: str) -> str:
    return then if _OWN_PATH.fullmatch(then) else "/review"


def _redirect(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})
