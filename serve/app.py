"""The HTTP application around an orchestrator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from orchestrator.callbacks import callback_settings
from orchestrator.engine import Orchestrator
from orchestrator.store.job_queue import JobQueue
from serve import problems
from serve.middleware import BodyLimit, RequestId
from serve.routes import routers_of
from serve.settings import Settings
from serve.telemetry import Telemetry
from serve.worker import work

OpenOrchestrator = Callable[[], AbstractAsyncContextManager[Orchestrator]]


def create_app(open_orchestrator: OpenOrchestrator, settings: Settings) -> FastAPI:
    """Return the application; the orchestrator is opened when it starts and closed when it stops."""
    telemetry = Telemetry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_orchestrator() as orchestrator:
            app.state.orchestrator = orchestrator
            app.state.queue = JobQueue(orchestrator.ledger, limit=settings.job_queue_limit)
            stop = asyncio.Event()
            worker = asyncio.create_task(_work(app, settings, stop))
            yield
            stop.set()
            await worker
            app.state.orchestrator = app.state.queue = None

    app = FastAPI(title="Contact centre orchestrator", version="1", lifespan=lifespan)
    app.state.orchestrator = app.state.queue = None
    app.state.settings, app.state.telemetry = settings, telemetry
    problems.install(app)
    for router in routers_of(settings):
        app.include_router(router)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Say whether requests can be served: champion loaded and store up. A missing LLM only degrades."""
        orchestrator: Orchestrator | None = app.state.orchestrator
        body: dict[str, Any] = {"champion": None, "store": "down"}
        if orchestrator is not None:
            body["champion"] = orchestrator.release
            try:
                await asyncio.to_thread(orchestrator.ledger.ping)
                body["store"] = "up"
            except Exception as error:  # noqa: BLE001  # whatever the driver raises, the store is down
                body["store"] = f"down ({type(error).__name__})"
        good = body["champion"] is not None and body["store"] == "up"
        return JSONResponse({"status": "ready" if good else "not ready", **body}, status_code=200 if good else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestId)
    return app


async def _work(app: FastAPI, settings: Settings, stop: asyncio.Event) -> None:
    if settings.job_concurrency:
        await work(
            app.state.orchestrator,
            app.state.queue,
            settings.job_concurrency,
            stop,
            deadline_s=settings.request_timeout_seconds,
            callback_hosts=settings.callback_hosts,
            callbacks=callback_settings(os.environ, settings.callback_hosts),
            handled=app.state.telemetry.observe,
        )
