"""Where a request's time went: seconds by name in ``scope["state"]["timings"]``, told to the client as ``Server-Timing``.

Whoever measures something writes it there: ``queue`` the wait for a place, ``llm`` the call, ``store`` the commit, ``handle`` all of the
orchestrator's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

TOLD = ("queue", "llm", "store")

# The timings of the request that this task serves: for what knows no request, such as the ledger.
current: ContextVar[dict[str, float] | None] = ContextVar("timings", default=None)


def server_timing(timings: Mapping[str, float], total_s: float) -> str:
    """Return the header's value (W3C Server Timing, milliseconds): ``llm;dur=212.4, store;dur=3.1, total;dur=217.0``."""
    told = [(name, timings[name]) for name in TOLD if name in timings]
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in [*told, ("total", total_s)])


@dataclass(frozen=True)
class Served:
    """One answered request: what the access log tells of it and spans are made of.

    Moments are seconds of ``time.perf_counter``. ``handled_at`` is when the orchestrator was done, None where it had no part.
    """

    method: str
    route: str
    status: int
    request_id: str
    started: float
    ended: float
    client: str | None = None
    traceparent: str | None = None
    handled_at: float | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
