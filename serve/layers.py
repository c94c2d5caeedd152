"""What a request passes before a route: the middleware, all of it pure ASGI, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from serve.access import Access, ApiKeys, cors_arguments
from serve.draining import Draining
from serve.entry import Entry
from serve.limits.admission import Admission
from serve.limits.body import BodyLimit
from serve.limits.bucket import TakesTokens
from serve.limits.deadline import RequestDeadline
from serve.limits.rate_limit import RateLimit
from serve.limits.slots import Slots
from serve.settings import Settings
from serve.telemetry import Telemetry

if TYPE_CHECKING:
    from serve.telemetry.traces import Tracing

CLASSIFY = "/api/v1/classify"
BATCH = "/api/v1/classify/batch"


def add_layers(
    app: FastAPI,
    settings: Settings,
    *,
    keys: ApiKeys | None,
    buckets: TakesTokens,
    slots: Slots,
    telemetry: Telemetry,
    draining: Draining,
    tracing: Tracing | None,
) -> None:
    """Put the layers around the routes, the innermost first.

    The body is read before a place is taken, so that a slow sender holds a connection and not a place. A preflight has no key, so CORS is
    outside the keys. The entry is outermost: whatever happens within has an id, an access line and an answer.
    """
    app.add_middleware(Admission, slots=slots, paths=(CLASSIFY,), queue_seconds=settings.queue_seconds, on_shed=telemetry.shed)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        max_bytes_below={BATCH: settings.max_batch_body_bytes},
        seconds=settings.request_timeout_seconds,
    )
    app.add_middleware(
        RateLimit,
        buckets=buckets,
        paths=(CLASSIFY,),
        per_minute=settings.rate_limit_requests_per_minute,
        burst=settings.rate_limit_burst,
        on_limited=telemetry.rate_limited,
    )
    app.add_middleware(RequestDeadline, longest_s=settings.request_timeout_seconds)
    app.add_middleware(Access, keys=keys, on_refused=telemetry.refused)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **cors_arguments(settings.cors_origins))
    app.add_middleware(Entry, telemetry=telemetry, tracing=tracing, draining=draining, tls=settings.tls_cert_file is not None)
