"""Pure ASGI middleware that lets a request through with its client on ``scope["state"]``, or refuses it before its body is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from serve.access.keys import ApiKeys
from serve.access.refusal import Refusal
from serve.access.rules import RULES, Need, Rules
from serve.client import ANYBODY, Client, Scope
from serve.problems import send_problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY_VIOLATION = 1008  # the code a refused websocket is closed with


class Access:
    """Ask for API keys: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``. Without ``keys`` everybody may do everything.

    ``scope["state"]["client"]`` is set wherever a key was looked at. Open paths, and pages with a session of their own to which no key
    was sent, have none. No key is ever logged or repeated; ``on_refused`` is told each ``Refusal``.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys | None, rules: Rules = RULES, *, on_refused: Callable[[Refusal], None] = lambda _: None
    ) -> None:
        """Wrap ``app``."""
        self._app = app
        self._keys = keys
        self._rules = rules
        self._on_refused = on_refused

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._keys is None:
            if scope["type"] == "http" and scope["method"] not in SAFE and _from_another_site(scope["headers"]):
                await send_problem(
                    scope, send, HTTPStatus.FORBIDDEN, "a page of another site may not ask for this where no key is asked for"
                )
                return
            scope.setdefault("state", {})["client"] = ANYBODY
            await self._app(scope, receive, send)
            return
        need = self._rules.need(scope["path"].removeprefix(scope.get("root_path", "")))
        if need is not Need.NOTHING:
            found = await self._client(self._keys, scope["headers"], need)
            if isinstance(found, Refusal):
                self._on_refused(found)
                await _refuse(found, need, scope, send)
                return
            if found is not None:
                scope.setdefault("state", {})["client"] = found
        await self._app(scope, receive, send)

    async def _client(self, keys: ApiKeys, headers: Iterable[tuple[bytes, bytes]], need: Need | Scope) -> Client | Refusal | None:
        sent = set(_sent(headers))
        if not sent:
            return None if need is Need.OWN_SESSION else Refusal.MISSING
        if len(sent) > 1:
            return Refusal.AMBIGUOUS
        await keys.refresh()
        client = keys.find(sent.pop())
        wanted = self._rules.session_scope if need is Need.OWN_SESSION else need
        if isinstance(client, Client) and isinstance(wanted, Scope) and wanted not in client.scopes:
            return Refusal.SCOPE
        return client


def _from_another_site(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether a browser tells that the request comes from another site's page: without keys it would be anybody's to send."""
    return any(name == b"sec-fetch-site" and value in {b"cross-site", b"same-site"} for name, value in headers)


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[str]:
    """Yield what was sent as a key. Another scheme than Bearer is somebody else's business: a proxy's, say."""
    for name, value in headers:
        if name == b"x-api-key":
            yield value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, rest = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() == "bearer":
                yield rest.strip()


async def _refuse(refusal: Refusal, need: Need | Scope, scope: AsgiScope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    wanted = need.value if isinstance(need, Scope) else Scope.REVIEW.value
    detail = f"{refusal.detail}: it needs the scope {wanted}" if refusal is Refusal.SCOPE else refusal.detail
    await send_problem(scope, send, refusal.status, detail, headers={"www-authenticate": refusal.challenge(wanted)})
