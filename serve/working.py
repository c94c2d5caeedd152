"""``python -m serve worker``: work on the queue in a process of its own. At ``WORKER_PORT`` it tells how it is, and nothing else."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

import uvicorn
from fastapi import FastAPI

from orchestrator.destinations import Destinations
from orchestrator.engine import Orchestrator
from orchestrator.errors import OrchestratorError
from orchestrator.store.job_queue import JobQueue
from serve.draining import Draining
from serve.routes.system import system_router
from serve.settings import Settings
from serve.shown import shown
from serve.telemetry import Telemetry
from serve.telemetry.commits import timed
from serve.telemetry.logs import Logging
from serve.worker import work

STOP_S = 5.0  # for who is still being told something


async def work_until_stopped(
    opening: AbstractAsyncContextManager[Orchestrator],
    settings: Settings,
    *,
    telemetry: Telemetry,
    callbacks: Destinations | None,
    logs: Logging | None = None,
    host: str = "127.0.0.1",
) -> None:
    """Handle jobs until SIGINT or SIGTERM; what is under way then is finished. Raises ``OrchestratorError`` where the port is taken."""
    stop, draining = asyncio.Event(), Draining(0)

    def begin_to_stop() -> None:
        draining.begun = True
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, begin_to_stop)
    async with AsyncExitStack() as stack:
        orchestrator = timed(await stack.enter_async_context(opening), telemetry.committed)
        await stack.enter_async_context(shown(orchestrator, telemetry, logs))
        if settings.worker_port is not None:
            app = _app(orchestrator, telemetry, draining)
            await stack.enter_async_context(_served(app, host, settings.worker_port))
        await work(
            orchestrator,
            JobQueue(orchestrator.ledger, limit=settings.job_queue_limit),
            settings.job_concurrency or settings.model_fields["job_concurrency"].default,
            stop,
            deadline_s=settings.request_timeout_seconds,
            callback_hosts=settings.callback_hosts,
            callbacks=callbacks,
            handled=telemetry.observe,
        )


def _app(orchestrator: Orchestrator, telemetry: Telemetry, draining: Draining) -> FastAPI:
    app = FastAPI(title="Worker", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.orchestrator, app.state.telemetry, app.state.draining, app.state.keys = orchestrator, telemetry, draining, None
    app.include_router(system_router())
    return app


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # a context manager that does nothing
        """Take no signal."""
        return nullcontext()


@asynccontextmanager
async def _served(app: FastAPI, host: str, port: int) -> AsyncIterator[None]:
    """Serve an app within the block."""
    config = uvicorn.Config(app, host=host, port=port, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise OrchestratorError(f"WORKER_PORT: port {port} of {host} cannot be listened on: take another") from None
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=STOP_S)
        for connection in tuple(server.server_state.connections):  # of clients that do not read their answers
            connection.transport.abort()
        await serving
