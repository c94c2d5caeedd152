"""The HTTP application around an orchestrator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

from orchestrator.engine import Orchestrator
from orchestrator.incoming import storable
from orchestrator.response import ClassifyResponse
from orchestrator.schema import Channel, Message
from serve import problems
from serve.middleware import BodyLimit, RequestId
from serve.settings import Settings
from serve.telemetry import Telemetry

OpenOrchestrator = Callable[[], AbstractAsyncContextManager[Orchestrator]]


class ClassifyRequest(BaseModel):
    """A message to classify."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, examples=["I broke out in hives after the new tablets"])
    channel: Channel = Channel.CHAT
    metadata: dict[str, Any] = Field(default_factory=dict)

    _storable = field_validator("message", mode="before")(storable)

    @field_validator("message")
    @classmethod
    def _not_blank(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("the message is empty")
        return message


def create_app(open_orchestrator: OpenOrchestrator, settings: Settings) -> FastAPI:
    """Return the application; the orchestrator is opened when it starts and closed when it stops."""
    telemetry = Telemetry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_orchestrator() as orchestrator:
            app.state.orchestrator = orchestrator
            yield
            app.state.orchestrator = None

    app = FastAPI(title="Contact centre orchestrator", version="1", lifespan=lifespan)
    app.state.orchestrator = None
    problems.install(app)
    slots = asyncio.Semaphore(settings.max_concurrent_requests)

    @app.post("/api/v1/classify")
    async def classify(body: ClassifyRequest, request: Request) -> ClassifyResponse:
        """Classify one message, run its workflow, and answer once both are durably recorded."""
        limit = settings.max_chars(body.channel)
        if len(body.message) > limit:
            telemetry.requests.labels("422").inc()
            detail = f"message: {len(body.message)} characters; at most {limit} are accepted on channel {body.channel.value}"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        message = Message(
            text=body.message, channel=body.channel, metadata={name: storable(value) for name, value in body.metadata.items()}
        )
        async with slots:
            outcome = await _ready(app).handle(message, request_id=request.state.request_id)
        telemetry.requests.labels("200").inc()
        return telemetry.observe(outcome)

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


def _ready(app: FastAPI) -> Orchestrator:
    orchestrator: Orchestrator | None = app.state.orchestrator
    if orchestrator is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "starting or draining", headers={"Retry-After": "1"})
    return orchestrator
