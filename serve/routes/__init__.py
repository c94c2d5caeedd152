"""The HTTP routes, a module for each resource."""

from __future__ import annotations

from fastapi import APIRouter

from serve.idempotency import InFlight
from serve.routes import batch, classify, jobs
from serve.routes.releases import releases_router
from serve.routes.review import review_router
from serve.routes.system import system_router
from serve.settings import Settings


def routers_of(settings: Settings) -> list[APIRouter]:
    """Return all routers; those of messages share what is under way, so one application wants one list."""
    in_flight = InFlight()
    return [
        classify.router_of(in_flight),
        batch.router_of(in_flight, settings),
        jobs.router_of(),
        review_router(),
        releases_router(),
        system_router(),
    ]
