"""``POST /api/v1/classify/batch``: many messages in one request, each answered in its place, or all queued at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from orchestrator.errors import ConflictError, StoreUnavailableError
from orchestrator.incoming import digest_of
from orchestrator.redact import redact
from orchestrator.response import ClassifyResponse
from orchestrator.safety import red_flags
from orchestrator.schema import Message, Record
from orchestrator.store.job_queue import NewJob
from orchestrator.store.ledger import Idempotency
from serve.declared import Responses, problems
from serve.idempotency import HEADER, REPLAYED, REPLAYED_HEADER, InFlight, KeyHeader, key_of
from serve.problems import field_of
from serve.queueing import Accepted, queue_once
from serve.routes.asking import client_of, left_s, orchestrator_of, queue_of, settings_of
from serve.routes.classify import MessageRequest, Mode, ModeQuery, handle_once, json_response, message_of
from serve.settings import Settings

SHARE = 0.25  # of the places for messages that all batches together may take: those who wait for one answer come first
MAX_KEY_CHARS = 240  # a row's own key is the batch's and its index: together 255 at most
_log = logging.getLogger(__name__)


class BatchRequest(BaseModel):
    """Messages to classify."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Any] = Field(
        min_length=1,
        description="each as POST /api/v1/classify takes it (message, channel, metadata); one that is wrong gets an error of its own",
        examples=[[{"message": "Where is my order 4432?", "channel": "chat"}]],
    )


class RowError(Record):
    """Why a row has no answer: a problem without the request's id; ``field`` and ``reason`` where the row itself is wrong."""

    status: int
    title: str
    detail: str
    field: str | None = None
    reason: str | None = None


class Row(Record):
    """What came of one message: its answer, or an error."""

    index: int
    response: ClassifyResponse | None = None
    error: RowError | None = None
    replayed: bool = False


class BatchResponse(Record):
    """What came of each message, in their order."""

    results: list[Row]


class BatchAccepted(Record):
    """The jobs of a batch, in the order of its messages."""

    jobs: list[Accepted]


def router_of(in_flight: InFlight, settings: Settings) -> APIRouter:
    """Return the route; all batches of the application share a quarter of its places."""
    router = APIRouter()
    places = asyncio.Semaphore(max(1, int(settings.max_concurrent_requests * SHARE)))
    queued = "All queued, in one transaction; each is kept, and done once."
    accepted: Responses = {
        200: {"headers": REPLAYED_HEADER},
        202: {"model": BatchAccepted, "description": queued, "headers": REPLAYED_HEADER},
    }

    @router.post("/api/v1/classify/batch", response_model=BatchResponse, responses=accepted | problems(409, 422, 503))
    async def classify_batch(
        body: BatchRequest,
        request: Request,
        mode: ModeQuery = Mode.SYNC,
        idempotency_key: KeyHeader = None,  # noqa: ARG001  # for OpenAPI: see key_of
    ) -> Response:
        """Classify many messages. Each has its answer or its error, and the answers that are given are durably recorded."""
        key, client, most = key_of(request, max_chars=MAX_KEY_CHARS), client_of(request).id, settings_of(request).max_batch_messages
        if len(body.messages) > most:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"messages: {len(body.messages)}; at most {most} are accepted")
        rows = [_read(index, row, settings_of(request)) for index, row in enumerate(body.messages)]
        with in_flight.claimed(client, key, "a batch"):
            if mode == Mode.ASYNC:
                return await _queue(request, rows, client, key)
            results = await _answer(request, rows, key, places)
        replayed = all(row.replayed for row in results)
        return json_response(BatchResponse(results=results), HTTPStatus.OK, REPLAYED if replayed else {})

    return router


async def _queue(request: Request, rows: Sequence[Message | RowError], client: str, key: str | None) -> Response:
    """Queue all messages in one transaction, or none where one is wrong."""
    wrong = [{"field": f"messages.{at}.{row.field}", "reason": str(row.reason)} for at, row in enumerate(rows) if isinstance(row, RowError)]
    if wrong:
        detail = f"{len(wrong)} messages are wrong, and nothing was queued; the first: {wrong[0]['field']}: {wrong[0]['reason']}"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    messages = [row for row in rows if isinstance(row, Message)]
    wanted = [NewJob(client, message, key=_row_key(key, at)) for at, message in enumerate(messages)]
    beyond = [] if key is None else [str(_row_key(key, len(messages)))]  # a longer batch under this key was another one
    jobs, replayed = await queue_once(queue_of(request), wanted, beyond)
    return json_response(BatchAccepted(jobs=jobs), HTTPStatus.ACCEPTED, REPLAYED if replayed else {})


async def _answer(request: Request, rows: Sequence[Message | RowError], key: str | None, places: asyncio.Semaphore) -> list[Row]:
    """Answer each message, those with a red flag first, as many at once as there are places."""
    orchestrator_of(request)  # while starting or draining nothing is begun
    flagged = await asyncio.to_thread(_flagged, rows, left_s(request))
    results: list[Row] = [Row(index=at, error=row) for at, row in enumerate(rows) if isinstance(row, RowError)]

    async def one(at: int, message: Message) -> None:
        try:
            async with asyncio.timeout(left_s(request)):
                await places.acquire()
        except TimeoutError:
            results.append(_late(at))
            return
        try:
            results.append(await _answer_row(request, at, message, key))
        finally:
            places.release()

    async with asyncio.TaskGroup() as group:
        for at in sorted(range(len(rows)), key=lambda at: not flagged[at]):  # a semaphore lets in who came first
            row = rows[at]
            if isinstance(row, Message):
                group.create_task(one(at, row))
    return sorted(results, key=lambda row: row.index)


def _flagged(rows: Sequence[Message | RowError], seconds: float | None) -> list[bool]:
    """Say which rows have a red flag, as far as that can be said in a tenth of the time: it only puts them in order."""
    until = time.monotonic() + (seconds or math.inf) / 10
    return [isinstance(row, Message) and time.monotonic() < until and bool(red_flags(row.text)) for row in rows]


def _late(at: int) -> Row:
    return Row(index=at, error=_error(HTTPStatus.GATEWAY_TIMEOUT, "the deadline passed before this row was begun: send it again"))


async def _answer_row(request: Request, at: int, message: Message, key: str | None) -> Row:
    """Answer one message; whatever it comes to, the others go on."""
    left = left_s(request)
    if left is not None and left <= 0:
        return _late(at)
    row_key = _row_key(key, at)
    hashed = Idempotency(client=client_of(request).id, key=row_key, body_hash=digest_of(message)) if row_key else None
    try:
        outcome, replayed = await handle_once(request, message, hashed, str(uuid.uuid4()), left)
    except ConflictError:
        detail = f"{HEADER} was used for another message in this row: take a new key"
        return Row(index=at, error=_error(HTTPStatus.UNPROCESSABLE_ENTITY, detail))
    except StoreUnavailableError:
        return Row(index=at, error=_error(HTTPStatus.SERVICE_UNAVAILABLE, "the store does not take anything: send this row again"))
    except HTTPException as error:
        return Row(index=at, error=_error(HTTPStatus(error.status_code), str(error.detail)))
    except Exception as error:  # noqa: BLE001  # its text could quote the message, so its kind alone is logged
        _log.error("row %d of batch %s failed: %s", at, request.state.request_id, type(error).__name__)  # a traceback, too
        return Row(index=at, error=_error(HTTPStatus.INTERNAL_SERVER_ERROR, "the row could not be handled; quote the request id"))
    return Row(index=at, response=ClassifyResponse.of(outcome), replayed=replayed)


def _read(index: int, row: Any, settings: Settings) -> Message | RowError:
    """Return the message of a row, or what is wrong with it, without repeating it."""
    try:
        return message_of(MessageRequest.model_validate(row), settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field, reason = field_of(first["loc"], first["type"]) if first["loc"] else "row", redact(first["msg"])
    except HTTPException as error:
        field, reason = "message", str(error.detail).removeprefix("message: ")
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, f"row {index}: {field}: {reason}", field=field, reason=reason)


def _error(status: HTTPStatus, detail: str, *, field: str | None = None, reason: str | None = None) -> RowError:
    return RowError(status=status.value, title=status.phrase, detail=detail, field=field, reason=reason)


def _row_key(key: str | None, at: int) -> str | None:
    """Return a row's own key; the blank in it is in no client's key, so it is nobody else's."""
    return None if key is None else f"{key} {at}"
