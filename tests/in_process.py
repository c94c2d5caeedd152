"""The HTTP application in this process, without a socket, around a scripted LLM: what the tests of its routes share."""

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
from sqlalchemy import select
from starlette.middleware import Middleware

from orchestrator.callbacks import callback_settings
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
    return Orchestrator(RELEASE.manifest.id, replace(CLASSIFIER, llm=llm or service_llm()), WORKFLOWS, ledger)


async def until(true):
    """Return once something is true; ``true`` is asked in a thread, as it may look into a database."""
    while not await asyncio.to_thread(true):  # noqa: ASYNC110  # what others write to a database sets no event
        await asyncio.sleep(0.02)


CLASSIFIER = open_classifier(RELEASE, service_llm())  # loaded once


class Deadline:
    """A deadline that passes when so many have asked. A batch asks once; each row when it waits for its turn, and when it has it."""

    def __init__(self, asked):
        self.left = asked

    def left_s(self):
        self.left -= 1
        return 30.0 if self.left >= 0 else -1.0


class Named:
    """Within all layers: the client is who ``X-Client`` says, the deadline what the test gave."""

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

    quiet = {"job_concurrency": 0, "rate_limit_requests_per_minute": 0}
    callbacks = callback_settings(os.environ, settings.get("callback_hosts", ())) if "WEBHOOK_SECRET" in os.environ else None
    app = create_app(opening, Settings(**quiet | settings), callbacks=callbacks)
    app.user_middleware.append(Middleware(Named, deadline=deadline))  # the last is the innermost
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            yield client


async def ended(client, job, who="desk"):
    """How a queued message ended, once it has."""
    while (seen := (await client.get(job["status_url"], headers={"X-Client": who})).json())["finished_at"] is None:  # noqa: ASYNC110  # HTTP has none
        await asyncio.sleep(0.02)
    return seen


def has_jobs_left(ledger):
    """Say whether any job has not ended."""
    with ledger.engine.connect() as connection:
        return connection.scalar(select(tables.Job.id).where(tables.Job.finished_at.is_(None)).limit(1)) is not None


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
