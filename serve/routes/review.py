"""The escalation queue over HTTP: list it, read one, claim, acknowledge and resolve it.

Scope ``review`` is asked for in front of the routes, by path; nothing here gives out more than the redacted text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from starlette.exceptions import HTTPException

from orchestrator.engine import Orchestrator
from orchestrator.errors import ConflictError, OrchestratorError, StoreUnavailableError
from orchestrator.incoming import storable
from orchestrator.schema import Category
from orchestrator.store.escalations import UNRESOLVED, Status, Waiting
from orchestrator.store.ledger import Ledger
from orchestrator.store.review import Details
from serve.declared import problems
from serve.problems import problem

MAX_NAME, MAX_RESOLUTION = 128, 4_000  # characters: of the column that holds it, and of a page or so
PAGE, MAX_PAGE = 50, 500

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
RequestId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]  # PostgreSQL takes no NUL


class Queue(BaseModel):
    """A page of the queue; ``next`` is what to give as ``after`` for the next one, null on the last."""

    escalations: list[Waiting]
    next: str | None


class Work(BaseModel):
    """Who works an escalation; the client itself where nobody is named."""

    model_config = ConfigDict(extra="forbid")

    by: Name | None = Field(default=None, examples=["R. Ph."])

    _storable = field_validator("by", mode="before")(storable)


class Resolution(Work):
    """What was done, stored redacted, and where given the category that the message should have had."""

    resolution: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_RESOLUTION)] = Field(
        examples=["Called back: stopped the tablets, sent to A&E"]
    )
    label: Category | None = None

    _storable_too = field_validator("resolution", mode="before")(storable)


def review_router() -> APIRouter:
    """Return the routes of the escalation queue."""
    always = problems(422, 503)
    router = APIRouter(prefix="/api/v1/escalations", tags=["review"], responses=always)
    one = problems(404)
    step = problems(404, 409)

    @router.get("")
    async def list_queue(
        request: Request,
        status: Annotated[list[Status] | None, Query(description="default: all that are not resolved")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
        after: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]+$", description="`next` of the page before")] = None,
    ) -> Queue:
        """List what waits for a person: the most severe first, then the one due first."""
        wanted = tuple(status) if status else UNRESOLVED
        try:
            found = await asyncio.to_thread(_ledger(request).escalations, wanted, limit + 1, after=after)
        except StoreUnavailableError:
            raise
        except OrchestratorError:  # its text repeats what was given
            detail = "after: there is no such escalation to go on after: begin at the first page"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
        return Queue(escalations=found[:limit], next=found[limit - 1].request_id if len(found) > limit else None)

    @router.get("/{request_id}", responses=one)
    async def read_one(request_id: RequestId, request: Request) -> Details:
        """Return one escalation with why it is there and what happened to it."""
        return await _details(_ledger(request), request_id)

    @router.post("/{request_id}/claim", responses=step, response_model=Details)
    async def claim(request_id: RequestId, request: Request, body: Work | None = None) -> Details | JSONResponse:
        """Take an open escalation. Claiming one's own again changes nothing."""
        return await _take(request, request_id, _ledger(request).claim, by=_who(body, request))

    @router.post("/{request_id}/acknowledge", responses=step, response_model=Details)
    async def acknowledge(request_id: RequestId, request: Request, body: Work | None = None) -> Details | JSONResponse:
        """Say that whoever claimed it has begun to act."""
        return await _take(request, request_id, _ledger(request).acknowledge, by=_who(body, request))

    @router.post("/{request_id}/resolve", responses=step, response_model=Details)
    async def resolve(request_id: RequestId, request: Request, body: Resolution) -> Details | JSONResponse:
        """Close what one claimed with what was done and, where given, the right label."""
        given = {"resolution": body.resolution, "label": body.label}
        return await _take(request, request_id, _ledger(request).resolve, by=_who(body, request), **given)

    return router


async def _take(request: Request, request_id: str, step: Callable[..., None], **given: Any) -> Details | JSONResponse:
    """Take one step and return the escalation as it is then; a conflict says who has it."""
    ledger = _ledger(request)
    before = await _details(ledger, request_id)
    try:
        await asyncio.to_thread(step, request_id, **given)
    except ConflictError as error:
        held = await asyncio.to_thread(ledger.escalation, request_id) or before
        held_by, status = held.claimed_by, held.status.value
        return problem(request, HTTPStatus.CONFLICT, str(error), claimed_by=held_by, escalation_status=status)
    return await _details(ledger, request_id)


async def _details(ledger: Ledger, request_id: str) -> Details:
    found = await asyncio.to_thread(ledger.escalation, request_id)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no escalation of this message: GET /api/v1/escalations lists them")
    return found


def _who(body: Work | None, request: Request) -> str:
    client: str = request.state.client.id
    return (body and body.by) or client


def _ledger(request: Request) -> Ledger:
    orchestrator: Orchestrator | None = request.app.state.orchestrator
    if orchestrator is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "starting or draining", headers={"Retry-After": "1"})
    return orchestrator.ledger
