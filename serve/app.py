"""The HTTP application around an orchestrator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from orchestrator.destinations import Destinations
from orchestrator.engine import Orchestrator
from orchestrator.errors import OrchestratorError
from orchestrator.safety import red_flags
from orchestrator.store.job_queue import JobQueue
from serve import problems
from serve.access import ApiKeys
from serve.docs_page import add_docs
from serve.draining import Draining
from serve.layers import add_layers
from serve.limits.bucket import Buckets, TakesTokens
from serve.limits.slots import Slots
from serve.openapi import describe
from serve.review_page import review_page
from serve.review_page.keys import ReviewKeys
from serve.routes import routers_of
from serve.settings import Settings
from serve.shown import shown
from serve.telemetry import Telemetry
from serve.telemetry.commits import timed
from serve.worker import work

if TYPE_CHECKING:
    from serve.telemetry.logs import Logging
    from serve.telemetry.traces import Tracing

_log = logging.getLogger(__name__)
OpenOrchestrator = Callable[[], AbstractAsyncContextManager[Orchestrator]]


def create_app(
    open_orchestrator: OpenOrchestrator,
    settings: Settings,
    *,
    telemetry: Telemetry | None = None,
    keys: ApiKeys | None = None,
    buckets: TakesTokens | None = None,
    callbacks: Destinations | None = None,
    tracing: Tracing | None = None,
    logs: Logging | None = None,
) -> FastAPI:
    """Return the application; the orchestrator is opened when it starts and closed when it stops.

    ``logs`` is told which release serves. Without ``keys`` nobody is asked for one, without ``buckets`` rate limits are this process's
    own, without ``callbacks`` nobody is called back.
    """
    telemetry, limiter = telemetry or Telemetry(), buckets or Buckets()
    slots = Slots(settings.max_concurrent_requests, reserve_share=settings.red_flag_share, queue_size=settings.queue_size)
    draining = Draining(settings.drain_seconds)
    telemetry.watch("admission_in_use", lambda: slots.in_use)
    telemetry.watch("admission_waiting", lambda: slots.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.enter_context(_reasons_told())
            stack.push_async_callback(limiter.aclose)
            if tracing is not None:
                stack.callback(tracing.close)
            opened = await stack.enter_async_context(open_orchestrator())
            await asyncio.to_thread(red_flags, "")  # the rules are compiled now, not for the first message that finds all places taken
            orchestrator = timed(opened, telemetry.committed)
            await stack.enter_async_context(shown(orchestrator, telemetry, logs))
            queue = JobQueue(orchestrator.ledger, limit=settings.job_queue_limit)
            await stack.enter_async_context(
                _worked_on(queue, orchestrator, settings, telemetry=telemetry, callbacks=callbacks, draining=draining)
            )
            stack.enter_context(draining.on_sigterm())
            app.state.orchestrator, app.state.queue = orchestrator, queue
            yield
            app.state.orchestrator = app.state.queue = None

    app = FastAPI(
        title="Contact centre orchestrator", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    state = app.state
    state.orchestrator = state.queue = None
    state.settings, state.telemetry, state.keys, state.draining = settings, telemetry, keys, draining
    problems.install(app)
    for router in (*routers_of(settings), review_page(ReviewKeys(keys) if keys else None)):
        app.include_router(router)
    add_docs(app)
    _describe(app)
    add_layers(
        app,
        settings,
        keys=keys,
        buckets=limiter,
        slots=slots,
        telemetry=telemetry,
        draining=draining,
        tracing=tracing,
    )
    return app


@contextmanager
def _reasons_told() -> Iterator[None]:
    """Log why the service cannot start, where a user can mend it: of other errors the log has the type and the stack."""
    try:
        yield
    except OrchestratorError as error:
        _log.critical("cannot start: %s", error)
        raise


@asynccontextmanager
async def _worked_on(
    queue: JobQueue,
    orchestrator: Orchestrator,
    settings: Settings,
    *,
    telemetry: Telemetry,
    callbacks: Destinations | None,
    draining: Draining,
) -> AsyncIterator[None]:
    """Work on the queue in this process, where that is wanted. Nothing is begun from SIGTERM on, and what is under way is finished."""
    if not settings.job_concurrency:
        yield
        return
    stop = asyncio.Event()
    draining.on_begin = stop.set
    worker = asyncio.create_task(
        work(
            orchestrator,
            queue,
            settings.job_concurrency,
            stop,
            deadline_s=settings.request_timeout_seconds,
            callback_hosts=settings.callback_hosts,
            callbacks=callbacks,
            handled=telemetry.observe,
        )
    )
    try:
        yield
    finally:
        stop.set()
        await worker


def _describe(app: FastAPI) -> None:
    """Let the OpenAPI document say what the layers around the routes do."""
    make = app.openapi

    def described() -> dict[str, Any]:
        known = app.openapi_schema is not None
        document = make()
        return document if known else describe(document)

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to extend the document
