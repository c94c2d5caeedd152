"""Who may see the page: behind the door are views, ``Visit -> Response``, which need not know how somebody came in.

Nothing that goes wrong behind it is shown as anything but a page: a person looks at it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.engine import Orchestrator
from orchestrator.errors import KeysError, OrchestratorError, StoreUnavailableError
from orchestrator.store.ledger import Ledger
from serve.client import Client
from serve.review_page.forms import is_loopback, is_same_origin, read_form
from serve.review_page.render import page
from serve.review_page.session import LONGEST_S, Clock, Session, Sessions

COOKIE = "review_session"
SIGN_IN = "/review/sign-in"


class Opened(NamedTuple):
    """What a valid key opens: its client, and the key's id, which is no secret and goes into the session."""

    key_id: str
    client: Client


class KeyVerifier(Protocol):
    """What the page must know of API keys."""

    async def __call__(self, key: str, /) -> Opened | None:
        """Return what a key opens, None where it is not valid."""
        ...

    async def still_valid(self, key_id: str, /) -> bool:
        """Say whether the key with this id is valid and has the scope ``review``; where it has not, its sessions are over."""
        ...


@dataclass(frozen=True)
class Visit:
    """A request by somebody who has signed in; ``form`` is what was sent with it."""

    request: Request
    ledger: Ledger
    session: Session
    form_token: str
    form: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The person's name."""
        return self.session.name

    def page(self, template: str, *, status: int = HTTPStatus.OK, **values: object) -> Response:
        """Return a page for this person."""
        return page(template, {"name": self.name, "form_token": self.form_token} | values, status=status)


View = Callable[[Visit], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


class Door:
    """Lets in who has a session. ``keys`` is None where keys are off: then a name is enough to have one."""

    def __init__(self, keys: KeyVerifier | None, clock: Clock = time.time) -> None:
        """Ask ``keys`` about clients; ``clock`` gives seconds since 1970."""
        self.keys = keys
        self._clock = clock

    def behind(self, view: View, *, renews: bool = True) -> Endpoint:
        """Return the endpoint of a view, which is run in a thread; ``renews`` says that it shows that somebody is there."""

        async def endpoint(request: Request) -> Response:
            sessions = self.sessions(request)
            session = sessions.open(request.cookies.get(COOKIE, ""))
            if session is None or not await self._still_valid(session):
                return _once_more() if _is_from_elsewhere(request) else _to_sign_in(request)
            form = await self._own_form(request, sessions, session) if request.method == "POST" else {}
            visit = Visit(request, ledger_of(request), session, sessions.form_token(session), form)
            response = await asyncio.to_thread(view, visit)
            used = sessions.renewed(session) if renews else None
            return self.let_in(request, used, response) if used else response

        return shown(endpoint)

    def sessions(self, request: Request) -> Sessions:
        """Return what opens sessions."""
        return Sessions(ledger_of(request).keys, self._clock)

    def let_in(self, request: Request, session: Session, response: Response) -> Response:
        """Put a session's cookie on a response. It goes to no other site, to no script, and over no plain HTTP but on this machine."""
        response.set_cookie(
            COOKIE,
            self.sessions(request).seal(session),
            max_age=LONGEST_S,
            path="/review",
            secure=not is_loopback(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def _still_valid(self, session: Session) -> bool:
        return self.keys is None or await self.keys.still_valid(session.key_id)

    async def _own_form(self, request: Request, sessions: Sessions, session: Session) -> dict[str, str]:
        form = await read_form(request)
        if not (is_same_origin(request) and sessions.is_own_form(session, form.get("token", ""))):
            detail = "This form was not made for your session. Open the page again, and then do it once more; nothing was changed."
            raise HTTPException(HTTPStatus.FORBIDDEN, detail)
        return form


def shown(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint whose errors are pages."""

    async def as_page(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HTTPException as error:
            return _told(error.status_code, str(error.detail))
        except StoreUnavailableError:  # its text names hosts and files
            detail = "The store does not answer at the moment. Nothing was changed. Wait a few seconds, then do the same again."
            return _told(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        except KeysError:
            return _told(
                HTTPStatus.SERVICE_UNAVAILABLE, "The keys do not fit what is stored. Whoever runs this service must put that right."
            )
        except OrchestratorError as error:
            return _told(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    return as_page


def ledger_of(request: Request) -> Ledger:
    """Return the ledger; raise ``HTTPException`` (503) while the service starts or stops."""
    orchestrator: Orchestrator | None = request.app.state.orchestrator
    if orchestrator is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The service is starting or stopping. Try again in a few seconds.")
    return orchestrator.ledger


def _told(status: int, detail: str) -> Response:
    headers = {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return page("told.html.j2", {"title": HTTPStatus(status).phrase, "detail": detail}, status=status, headers=headers)


def _is_from_elsewhere(request: Request) -> bool:
    """Say whether a link on another site led here: with those, browsers send no strict cookie, so nobody knows who has signed in."""
    return request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"


def _once_more() -> Response:
    """Let the browser ask again, now from a page of our own."""
    values = {"title": "Opening the review desk", "detail": "If nothing happens, open the queue."}
    return page("told.html.j2", values, headers={"Refresh": "0"})


def _to_sign_in(request: Request) -> Response:
    """Send to the sign-in, and from there to what was wanted."""
    ended = "&ended=1" if COOKIE in request.cookies else ""
    wanted = request.url.path if request.method == "GET" else request.url.path.rpartition("/")[0]  # a form's page is above its steps
    return RedirectResponse(f"{SIGN_IN}?then={quote(wanted)}{ended}", HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})
