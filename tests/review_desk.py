"""A review desk for tests and the screenshot: made-up messages on the queue, and the service's review routes on a real socket."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from orchestrator.connect import open_classifier
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.release import load_release
from orchestrator.schema import FailureKind, Message
from orchestrator.store.ledger import Ledger
from orchestrator.testing import FaultyLLM, ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders
from serve import problems
from serve.client import Client, Scope
from serve.review_page import Opened, review_page
from serve.routes.review import review_router

DESK = Client(id="desk", scopes=frozenset({Scope.REVIEW}))
FRONT = Client(id="front", scopes=frozenset({Scope.CLASSIFY}))
HOSTILE = (
    "</blockquote><script>document.title = 'gone'</script><img src=x onerror=\"document.title = 'gone'\"> {{ 7 * 7 }} {% raw %} & rash"
)

# (id, text, channel, minutes ago, probabilities in the order of the categories; None: the LLM is down)
MESSAGES = (
    ("m-throat", "My throat is closing up since the new tablets, I can hardly breathe", "chat", 7, (0.01, 0.02, 0.97)),
    ("m-child", "Hello, this is Maria Keller. My little boy swallowed four of my heart tablets ten minutes ago, what do I do", "voice", 2,
     (0.02, 0.03, 0.95)),
    ("m-rash", "I broke out in hives after the second dose of amoxicillin. Call me on 020 7946 0018.", "chat", 3, (0.06, 0.04, 0.90)),
    ("m-double", "I think I took my warfarin twice this morning. Should I skip tomorrow's tablet?", "mail", 12, (0.22, 0.08, 0.70)),
    ("m-dizzy", "Feeling a bit dizzy since the blood pressure tablets were changed", "chat", 1, None),
    ("m-batch", "Is this batch number part of the recall? The box was open when it came.", "mail", 600, (0.30, 0.15, 0.55)),
    ("m-unsure", "Can you change it, or tell me when it comes?", "chat", 140, (0.49, 0.50, 0.01)),
)  # fmt: skip


class Keys:
    """API keys by heart, which can be revoked."""

    def __init__(self) -> None:
        self.opens = {"key-desk": Opened("k1", DESK), "key-front": Opened("k2", FRONT)}

    async def __call__(self, key: str) -> Opened | None:
        return self.opens.get(key)

    async def still_valid(self, key_id: str) -> bool:
        return any(key_id == one.key_id and Scope.REVIEW in one.client.scopes for one in self.opens.values())


def fill(ledger: Ledger, messages=MESSAGES, now: datetime | None = None) -> None:
    """Put messages on the queue, as the orchestrator does."""
    release, now = load_release(), now or datetime.now(UTC)
    codes = list(release.prompt.codes.values())

    async def handle() -> None:
        for request_id, text, channel, minutes_ago, shares in messages:
            llm = FaultyLLM(FailureKind.TIMEOUT) if shares is None else ScriptedLLM(lambda _, s=shares: dict(zip(codes, s, strict=True)))
            then = Ledger(ledger.engine, ledger.environment, lambda ago=minutes_ago: now - timedelta(minutes=ago))
            engine = Orchestrator(release.manifest.id, open_classifier(release, llm), standard_workflows(LocalOrders({})), then)
            await engine.handle(Message(text=text, channel=channel), request_id=request_id)
            then._writer.close()

    asyncio.run(handle())


class AsClient:
    """Stands where the service gives ids and looks at API keys: everybody is the desk."""

    def __init__(self, app) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        scope.setdefault("state", {}).update(client=DESK, request_id=str(uuid.uuid4()))
        await self._app(scope, receive, send)


@contextmanager
def desk(ledger: Ledger | None, keys: Keys | None = None, **options) -> Iterator[str]:
    """Serve the queue's API and page on a real socket in a thread and yield the URL; without a ledger, as while the service starts."""
    app = FastAPI()
    app.state.orchestrator = ledger and SimpleNamespace(ledger=ledger)
    problems.install(app)
    app.include_router(review_router())
    app.include_router(review_page(keys, **options))
    server = uvicorn.Server(uvicorn.Config(AsClient(app), port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
