"""The whole service around a scripted LLM, with releases and a filled review queue, in this process or on a socket."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx2
import uvicorn
from fastapi import FastAPI
from review_desk import fill
from rollout_parts import Upstream, new_releases, orchestrator_of

from orchestrator.store.ledger import Ledger
from serve.access import ApiKeys
from serve.access.changes import added
from serve.access.key import ApiKey
from serve.access.key_file import change
from serve.app import create_app
from serve.client import Scope
from serve.settings import Settings

QUIET = {"rate_limit_requests_per_minute": 0, "request_timeout_seconds": 30.0}


class Keyed(NamedTuple):
    """The keys of a service: a client that may do everything, one that may only send messages, and one that may only review."""

    keys: ApiKeys
    admin: str
    front: str
    desk: str


def keyed(path: Path) -> Keyed:
    """Make a file of keys."""
    made = []
    for client, scopes in (("admin", set(Scope)), ("front", {Scope.CLASSIFY}), ("desk", {Scope.REVIEW})):
        key = ApiKey.new()
        change(
            path,
            lambda held, client=client, key=key, scopes=scopes: added(held, client, key, scopes=frozenset(scopes), now=datetime.now(UTC)),
        )
        made.append(key.text())
    return Keyed(ApiKeys(path), *made)


def whole_app(database: str, data_dir: Path, *, keys: ApiKeys | None = None, upstream: Upstream | None = None, **settings) -> FastAPI:
    """Return the application; its store is filled when it starts."""

    @asynccontextmanager
    async def opening():
        ledger = Ledger.at(database, os.environ)
        try:
            if not ledger.escalations():
                await asyncio.to_thread(fill, ledger)  # it runs a loop of its own
            async with new_releases(ledger, upstream or Upstream(), data_dir) as releases:
                yield orchestrator_of(releases)
        finally:
            ledger.close()

    return create_app(opening, Settings(**QUIET | settings), keys=keys)


@contextmanager
def on_a_socket(app: FastAPI) -> Iterator[int]:
    """Serve as ``python -m serve`` does, in a thread, and yield the port."""
    config = uvicorn.Config(
        app, port=0, loop="uvloop", http="httptools", ws="none", log_config=None, access_log=False, server_header=False, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=config.get_loop_factory()).run(server.serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@asynccontextmanager
async def in_process(app: FastAPI, *, started: bool = True) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of the application, which needs no socket and where wanted has not started yet."""
    async with app.router.lifespan_context(app) if started else nullcontext():
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            yield client
