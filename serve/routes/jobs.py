"""``GET /api/v1/jobs/{id}``: how far a queued message is, and its answer."""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from orchestrator.response import ClassifyResponse
from orchestrator.schema import Record
from orchestrator.store.jobs import Error, Status
from serve.client import Scope
from serve.declared import Responses, problems
from serve.routes.asking import client_of, queue_of
from serve.routes.classify import json_response

POLL_AFTER_S = "1"


class JobStatus(Record):
    """A queued message: ``result`` once it is done, ``error`` (a kind) once it has failed."""

    job_id: str
    status: Status
    created_at: datetime
    finished_at: datetime | None
    result: ClassifyResponse | None
    error: Error | None


def router_of() -> APIRouter:
    """Return the route."""
    router = APIRouter()
    later = {"Retry-After": {"description": "seconds to wait before asking again; none at the end", "schema": {"type": "integer"}}}
    declared: Responses = {200: {"headers": later}, **problems(404, 503)}

    @router.get("/api/v1/jobs/{job_id}", response_model=JobStatus, responses=declared)
    async def job(job_id: str, request: Request) -> Response:
        """Say how far a queued message is. Only who queued it may see it, and who has the scope admin."""
        client = client_of(request)
        found = await asyncio.to_thread(queue_of(request).read, job_id) if storable_id(job_id) else None
        if found is None or (found.client != client.id and Scope.ADMIN not in client.scopes):
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such job (any more): finished ones are kept for some time")
        told = found.model_dump(exclude={"id", "client"})
        headers = {"Retry-After": POLL_AFTER_S} if found.finished_at is None else {}
        return json_response(JobStatus(job_id=found.id, **told), HTTPStatus.OK, headers)

    return router


def storable_id(job_id: str) -> bool:
    """Say whether a database can be asked for this: PostgreSQL refuses NUL."""
    return job_id.isascii() and job_id.isprintable()
