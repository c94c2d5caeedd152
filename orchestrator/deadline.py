"""How long an LLM may take: limits set from outside, seen by every layer around an LLM, kept by the innermost.

A limit is not an argument, for the seam is ``Request -> Reply | Failure``; it goes with the task, as deadlines go with a context in
gRPC or Go. Each limit knows whose it is. That is how the breaker can tell an LLM that takes too long from a caller in a hurry.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure, FailureKind

RECORDING_S = 0.05  # of a message's time, kept for the workflow and for the commit, which takes some milliseconds

_DETAIL = {
    FailureKind.TIMEOUT: "no reply within the time the LLM has, retries included",
    FailureKind.DEADLINE: "no reply by when the message has to be answered",
}


class TimeLimit(NamedTuple):
    """Until when an LLM may take, on the running loop's clock, and what it is a failure of when that passes."""

    until: float
    kind: FailureKind


_limit: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)


@contextmanager
def time_limit(seconds: float | None, kind: FailureKind) -> Iterator[None]:
    """Give the LLMs awaited inside so many seconds from now; a limit that ends sooner stays, and None sets none."""
    outer = _limit.get()
    until = math.inf if seconds is None else asyncio.get_running_loop().time() + seconds
    if until >= (outer.until if outer else math.inf):
        yield
        return
    token = _limit.set(TimeLimit(until, kind))
    try:
        yield
    finally:
        _limit.reset(token)


def left_s() -> float:
    """Return how many seconds an LLM has now; infinity where there is no limit."""
    limit = _limit.get()
    return math.inf if limit is None else limit.until - asyncio.get_running_loop().time()


class Allotted:
    """An LLM that has ``timeout_s`` seconds for each answer, retries included. ``Punctual`` further inside keeps it."""

    def __init__(self, llm: LLM, *, timeout_s: float) -> None:
        """Wrap ``llm``."""
        self._llm = llm
        self._timeout_s = timeout_s

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        with time_limit(self._timeout_s, FailureKind.TIMEOUT):
            return await self._llm(request)


class Punctual:
    """An LLM that gives up when its time is over: the failure is of the kind that the limit has. Without time it asks nobody."""

    def __init__(self, llm: LLM) -> None:
        """Wrap ``llm``."""
        self.inner = llm

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        limit = _limit.get()
        if limit is None:
            return await self.inner(request)
        if left_s() <= 0:
            return Failure(kind=limit.kind, detail=_DETAIL[limit.kind])
        try:
            async with asyncio.timeout_at(limit.until):
                return await self.inner(request)
        except TimeoutError:
            return Failure(kind=limit.kind, detail=_DETAIL[limit.kind])
