"""What the limits cost a request: ``python -m benchmarks.limits``. Times are of this process alone, with no socket and no server.

Each line is the cost that one layer adds to an application that only answers, p50 and p99 over ``CALLS`` requests; then a token of
the bucket in memory and of the one in Redis (REDIS_URL, else on this machine), and how soon a request is shed when all is full.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.client import Client
from serve.limits.admission import Admission
from serve.limits.body import BodyLimit
from serve.limits.bucket import Buckets
from serve.limits.deadline import RequestDeadline
from serve.limits.rate_limit import RateLimit
from serve.limits.raw_flags import has_red_flag
from serve.limits.redis_bucket import RedisBuckets
from serve.limits.slots import Slots

CALLS = 20_000
PATHS = ("/api/v1/classify",)
BODY = json.dumps({"message": "Where is my order 5530? It was to come last week, and the app says nothing.", "channel": "chat"}).encode()
CLIENT = Client(id="desk", scopes=frozenset())


async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  # the shape of an application
    """Read the body and answer."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def received() -> Message:
    """Return the whole body, as it mostly comes."""
    return {"type": "http.request", "body": BODY, "more_body": False}


async def sent(message: Message) -> None:
    """Send nothing."""


async def time_calls(call: Callable[[], Awaitable[Any]], calls: int = CALLS) -> tuple[float, float]:
    """Return the p50 and p99 of so many calls, in microseconds."""
    took = np.empty(calls)
    for index in range(calls):
        started = time.perf_counter_ns()
        await call()
        took[index] = time.perf_counter_ns() - started
    p50, p99 = np.percentile(took, [50, 99]) / 1000
    return float(p50), float(p99)


def asking(app: ASGIApp) -> Callable[[], Awaitable[None]]:
    """Return what asks an application once."""
    headers = [(b"host", b"a"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY)), (b"accept", b"*/*")]

    def ask() -> Awaitable[None]:
        scope = {"type": "http", "method": "POST", "path": PATHS[0], "headers": headers, "client": ("127.0.0.1", 1)}
        return app(scope | {"state": {"client": CLIENT, "request_id": "r"}}, received, sent)

    return ask


async def measure() -> None:
    """Print one line a layer."""
    limits: dict[str, Callable[[ASGIApp], ASGIApp]] = {
        "rate limit": lambda app: RateLimit(app, buckets=Buckets(), paths=PATHS, per_minute=10**9),
        "deadline": lambda app: RequestDeadline(app, longest_s=30),
        "body": lambda app: BodyLimit(app, max_bytes=65_536),
        "admission": lambda app: Admission(app, slots=_slots(), paths=PATHS, queue_seconds=1),
    }
    bare, _ = await time_calls(asking(answer))
    whole: ASGIApp = answer
    for name, wrap in limits.items():
        p50, p99 = await time_calls(asking(wrap(answer)))
        print(f"{name:28} p50 {p50 - bare:7.1f}  p99 {p99 - bare:7.1f} us")
    for wrap in reversed(limits.values()):
        whole = wrap(whole)
    p50, p99 = await time_calls(asking(whole))
    print(f"{'all of them':28} p50 {p50 - bare:7.1f}  p99 {p99 - bare:7.1f} us")
    memory = Buckets()
    for number in range(10_000):
        memory.take_now(f"client {number}", per_minute=1, burst=10)
    p50, p99 = await time_calls(lambda: memory.take("desk", per_minute=10**6, burst=10**6))
    print(f"{'a token, in memory':28} p50 {p50:7.1f}  p99 {p99:7.1f} us, beside 10,000 clients")
    full = _slots(queue_size=0)
    while full.enter():
        pass
    has_red_flag(BODY)  # the rules are compiled once, when the service starts
    shedding = BodyLimit(Admission(answer, slots=full, paths=PATHS, queue_seconds=1), max_bytes=65_536)
    p50, p99 = await time_calls(asking(shedding), 5000)
    print(f"{'shed, red flags looked for':28} p50 {p50:7.1f}  p99 {p99:7.1f} us")
    redis = RedisBuckets(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), prefix=f"benchmark:{uuid.uuid4()}:", timeout_s=10)
    p50, p99 = await time_calls(lambda: redis.take("desk", per_minute=10**6, burst=10**6), 3000)
    print(f"{'a token, in Redis':28} p50 {p50:7.1f}  p99 {p99:7.1f} us" + (f" ({redis.trouble})" if redis.trouble else ""))
    await redis.aclose()


def _slots(queue_size: int = 100) -> Slots:
    return Slots(100, reserve_share=0.2, queue_size=queue_size)


if __name__ == "__main__":
    uvloop.run(measure())
