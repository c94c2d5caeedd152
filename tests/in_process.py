"""The HTTP application in this process, without a socket, around a scripted LLM: what the tests of its routes share."""

import os
from collections import Counter
from contextlib import asynccontextmanager

import httpx2
from sqlalchemy import select

from orchestrator.connect import open_classifier
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.release import load_release
from orchestrator.store import tables
from orchestrator.store.ledger import Ledger
from orchestrator.testing import ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders
from serve.app import create_app
from serve.client import Client, Scope
from serve.settings import Settings

RELEASE = load_release()
CODES = list(RELEASE.prompt.codes.values())
WORKFLOWS = standard_workflows(LocalOrders({}))
REFUND = "please refund order ORD-100234"
URL = "/api/v1/classify"


def service_llm(**named):
    """An LLM to which every message wants something done, so that each owes the database one ticket."""
    return ScriptedLLM(lambda _: dict(zip(CODES, (0.02, 0.95, 0.03), strict=True)), **named)


def orchestrator_on(ledger, llm=None):
    return Orchestrator(RELEASE.manifest.id, open_classifier(RELEASE, llm or service_llm()), WORKFLOWS, ledger)


class Deadline:
    """A deadline that passes when so many have asked."""

    def __init__(self, asked):
        self.left = asked

    def left_s(self):
        self.left -= 1
        return 30.0 if self.left >= 0 else -1.0


class Named:
    """Stands where access control and limits do: the client is who ``X-Client`` says, the deadline what the test gave."""

    def __init__(self, app, deadline):
        self.app, self.deadline = app, deadline

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(b"x-client", b"desk").decode()
            scopes = {Scope.CLASSIFY, Scope.ADMIN} if name == "admin" else {Scope.CLASSIFY}
            scope.setdefault("state", {})["client"] = Client(id=name, scopes=frozenset(scopes))
            if self.deadline:
                scope["state"]["deadline"] = self.deadline
        await self.app(scope, receive, send)


@asynccontextmanager
async def served(database, *, llm=None, kind=Ledger, deadline=None, **settings):
    """Yield an HTTP client of a new application on a database; its jobs are not worked on unless the settings say so."""

    @asynccontextmanager
    async def opening():
        ledger = kind.at(database, os.environ)
        try:
            yield orchestrator_on(ledger, llm)
        finally:
            ledger.close()

    app = create_app(opening, Settings(**{"job_concurrency": 0, "max_body_bytes": 16_777_216} | settings))
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=Named(app, deadline), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            yield client


def stored(database, column):
    """How often each value of a column is in a database."""
    ledger = Ledger.at(database, os.environ)
    try:
        with ledger.engine.connect() as connection:
            return Counter(connection.scalars(select(column)))
    finally:
        ledger.close()


def tickets(database):
    return sum(stored(database, tables.Ticket.request_id).values())
