"""A token bucket for each client, exact for any number of them.

Time is whole microseconds and a token is ``TOKEN`` units, so that ``per_minute`` units come back each microsecond: all is integer
arithmetic, and nothing is ever rounded. What is kept of a client is what it owes, that is what its bucket lacks. Who owes nothing is
forgotten, for a full bucket is what a new client gets; so memory holds the clients of the last minutes alone, and no count is lost.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

TOKEN = 60_000_000  # microseconds of a minute: the units of a token
DROPPED_AT_ONCE = 2  # a take makes one bucket at most: whoever drops two keeps up, and nobody waits for a scan


class Taken(NamedTuple):
    """Whether tokens were given; ``retry_after_s`` is the least wait after which they would be, ``inf`` for more than fit the bucket."""

    allowed: bool
    retry_after_s: float  # 0 where they were given
    remaining: int  # whole tokens left
    more_in_s: float  # until there is one more than that; 0 for a full bucket


class TakesTokens(Protocol):
    """Buckets, here or shared."""

    async def take(self, client_id: str, tokens: int = 1, *, per_minute: int, burst: int) -> Taken:
        """Take tokens from a client's bucket, all or none."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class Owed(NamedTuple):
    """What a bucket lacks, in units, as of a moment; and when it will be full again."""

    units: int
    at_us: int
    full_at_us: int


def monotonic_us() -> int:
    """Return the time in microseconds; it never goes back."""
    return time.monotonic_ns() // 1000


class Buckets:
    """The buckets of this process. ``len`` is how many are not full, as far as has been noticed."""

    def __init__(self, clock_us: Callable[[], int] = monotonic_us) -> None:
        """Begin with all buckets full; ``clock_us`` counts microseconds."""
        self._clock_us = clock_us
        self._owed: dict[str, Owed] = {}
        self._due: list[tuple[int, str]] = []  # a heap with one entry for each client: when its bucket was to be full when last looked at

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._owed)

    async def take(self, client_id: str, tokens: int = 1, *, per_minute: int, burst: int) -> Taken:
        """Take tokens from a client's bucket, all or none."""
        return self.take_now(client_id, tokens, per_minute=per_minute, burst=burst)

    async def aclose(self) -> None:
        """Do nothing: there is nothing open."""

    def take_now(self, client_id: str, tokens: int = 1, *, per_minute: int, burst: int) -> Taken:
        """Take tokens from a client's bucket, all or none: it holds ``burst``, and ``per_minute`` come back each minute."""
        if tokens < 1 or per_minute < 1 or burst < 1:
            raise ValueError("tokens, per_minute and burst are 1 or more")
        now = self._clock_us()
        self._drop_full(now)
        known = self._owed.get(client_id)
        units = max(0, known.units - max(0, now - known.at_us) * per_minute) if known else 0
        wanted, size = tokens * TOKEN, burst * TOKEN
        allowed = units + wanted <= size
        if allowed:
            retry_after_s = 0.0
            units += wanted
        else:
            retry_after_s = _wait_us(units + wanted - size, per_minute) / 1e6 if tokens <= burst else math.inf
        if known or units:
            full_at = now + _wait_us(units, per_minute)
            self._owed[client_id] = Owed(units, now, full_at)
            if known is None:
                heapq.heappush(self._due, (full_at, client_id))
        remaining = max(0, size - units) // TOKEN
        more_us = _wait_us(units - size + (remaining + 1) * TOKEN, per_minute) if units else 0
        return Taken(allowed, retry_after_s, remaining, more_us / 1e6)

    def _drop_full(self, now: int) -> None:
        for _ in range(DROPPED_AT_ONCE):
            if not self._due or self._due[0][0] > now:
                return
            client_id = self._due[0][1]
            full_at = self._owed[client_id].full_at_us
            if full_at <= now:
                heapq.heappop(self._due)
                del self._owed[client_id]
            else:
                heapq.heapreplace(self._due, (full_at, client_id))


def _wait_us(units: int, per_minute: int) -> int:
    """Return the microseconds until so many units have come back, rounded up."""
    return -(-units // per_minute)
