"""What a route is asked and by whom: the state that the middleware and the lifespan left on a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from orchestrator.engine import Orchestrator
from orchestrator.store.job_queue import JobQueue
from serve.client import ANYBODY, Client
from serve.settings import Settings

T = TypeVar("T")


def client_of(request: Request) -> Client:
    """Return who asks."""
    client: Client = getattr(request.state, "client", ANYBODY)
    return client


def left_s(request: Request) -> float | None:
    """Return the seconds until the request's deadline; None where it has none."""
    deadline: Any = getattr(request.state, "deadline", None)
    return None if deadline is None else float(deadline.left_s())


def orchestrator_of(request: Request) -> Orchestrator:
    """Return the orchestrator; while starting or draining this is a 503 problem."""
    found: Orchestrator | None = request.app.state.orchestrator
    return _opened(found)


def queue_of(request: Request) -> JobQueue:
    """Return the queue of jobs; while starting or draining this is a 503 problem."""
    found: JobQueue | None = request.app.state.queue
    return _opened(found)


def settings_of(request: Request) -> Settings:
    """Return the settings."""
    settings: Settings = request.app.state.settings
    return settings


def _opened(found: T | None) -> T:
    if found is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "starting or draining", headers={"Retry-After": "1"})
    return found
