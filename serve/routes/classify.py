"""``POST /api/v1/classify``: a message is answered at once, or queued and answered later."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

from orchestrator.callbacks import check_callback
from orchestrator.errors import InputError
from orchestrator.incoming import digest_of, storable
from orchestrator.response import ClassifyResponse
from orchestrator.schema import Channel, Message, Outcome
from orchestrator.store.job_queue import NewJob
from orchestrator.store.ledger import Idempotency
from serve.client import ANYBODY
from serve.declared import Responses, problems
from serve.idempotency import REPLAYED, REPLAYED_HEADER, InFlight, KeyHeader, key_of
from serve.queueing import Accepted, queue_once
from serve.routes.asking import client_of, left_s, orchestrator_of, queue_of, settings_of
from serve.settings import Settings

MAX_METADATA_DEPTH = 32  # nobody's metadata; what writes JSON fails from some 200 on


class Mode(StrEnum):
    """Whether an answer is waited for."""

    SYNC = "sync"
    ASYNC = "async"


ModeQuery = Annotated[Mode, Query(description="async: queue it, answer 202 at once and keep the answer for GET /api/v1/jobs/{id}")]


class MessageRequest(BaseModel):
    """A message."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, examples=["I broke out in hives after the new tablets"])
    channel: Channel = Channel.CHAT
    metadata: dict[str, Any] = Field(default_factory=dict, description=f"what belongs to it, nested at most {MAX_METADATA_DEPTH} deep")

    _storable = field_validator("message", mode="before")(storable)

    @field_validator("message")
    @classmethod
    def _not_blank(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("the message is empty")
        return message

    @field_validator("metadata")
    @classmethod
    def _not_too_deep(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        level: list[Any] = [metadata]
        for _ in range(MAX_METADATA_DEPTH):
            held = (one.values() if isinstance(one, dict) else one for one in level)
            level = [one for inner in held for one in inner if isinstance(one, dict | list)]
        if level:
            raise ValueError(f"it is nested more than {MAX_METADATA_DEPTH} deep")
        return metadata


class ClassifyRequest(MessageRequest):
    """A message to classify. ``callback_url`` is for ``mode=async``: who is told the answer, at a host the service may call."""

    callback_url: str | None = Field(None, max_length=2_000)


def router_of(in_flight: InFlight) -> APIRouter:
    """Return the route; ``in_flight`` is shared with the batches."""
    router = APIRouter()
    location = {"Location": {"description": "where to ask how far it is", "required": True, "schema": {"type": "string"}}}
    accepted: Responses = {
        200: {"headers": REPLAYED_HEADER},
        202: {"model": Accepted, "description": "Queued; it is kept, and done once.", "headers": location | REPLAYED_HEADER},
    }

    @router.post("/api/v1/classify", response_model=ClassifyResponse, responses=accepted | problems(409, 422, 503))
    async def classify(
        body: ClassifyRequest,
        request: Request,
        mode: ModeQuery = Mode.SYNC,
        idempotency_key: KeyHeader = None,  # noqa: ARG001  # for OpenAPI: see key_of
    ) -> Response:
        """Classify one message, run its workflow, and answer once both are durably recorded."""
        key, client, message = key_of(request), client_of(request).id, message_of(body, settings_of(request))
        if mode == Mode.ASYNC:
            job = NewJob(client, message, _checked(body.callback_url, settings_of(request)), key)
            with in_flight.claimed(client, key, job.body_hash):
                (told,), replayed = await queue_once(queue_of(request), [job])
            headers = {"Location": told.status_url} | (REPLAYED if replayed else {})
            return json_response(told, HTTPStatus.ACCEPTED, headers)
        if body.callback_url is not None:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "callback_url: it is for mode=async alone")
        body_hash = digest_of(message) if key else ""
        with in_flight.claimed(client, key, body_hash):
            idempotency = Idempotency(client=client, key=key, body_hash=body_hash) if key else None
            outcome, replayed = await handle_once(request, message, idempotency, request.state.request_id, left_s(request))
        return json_response(ClassifyResponse.of(outcome), HTTPStatus.OK, REPLAYED if replayed else {})

    return router


async def handle_once(
    request: Request, message: Message, idempotency: Idempotency | None, request_id: str, deadline_s: float | None
) -> tuple[Outcome, bool]:
    """Handle a message, or return what its key was answered with before, and whether it is that.

    With a key the outcome is the one that is stored, so that a replay has the same body, ``processing_time_ms`` included.
    """
    orchestrator = orchestrator_of(request)
    client = client_of(request)
    state = request.scope["state"] if request_id == request.state.request_id else None  # the access log tells of one message, not of rows
    outcome = await orchestrator.handle(
        message,
        request_id=request_id,
        idempotency=idempotency,
        deadline_s=deadline_s,
        client=None if client is ANYBODY else client.id,
    )
    replayed = outcome.request_id != request_id
    request.app.state.telemetry.observe(outcome, state, replayed=replayed)
    if replayed:
        return outcome, True
    if idempotency:
        stored = await asyncio.to_thread(orchestrator.ledger.recorded, idempotency)
        return stored or outcome, False
    return outcome, False


def message_of(body: MessageRequest, settings: Settings) -> Message:
    """Return the message of a body; one that is too long for its channel is a 422 problem."""
    limit = settings.max_chars(body.channel)
    if len(body.message) > limit:
        detail = f"message: {len(body.message)} characters; at most {limit} are accepted on channel {body.channel.value}"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    metadata = {name: storable(value) for name, value in body.metadata.items()}
    return Message(text=body.message, channel=body.channel, metadata=metadata)


def json_response(body: BaseModel, status: int, headers: dict[str, str]) -> Response:
    """Return a response of a model that is valid already: it is not validated again."""
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def _checked(url: str | None, settings: Settings) -> str | None:
    if url is not None:
        try:
            check_callback(url, settings.callback_hosts)
        except InputError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"callback_url: {error}") from None
    return url
