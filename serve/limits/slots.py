"""Places for requests that are under way, some kept for urgent ones, and a bounded queue before them.

An ordinary request gets a place while fewer than ``ordinary`` are taken, an urgent one while fewer than ``size`` are. So ``size -
ordinary`` places are always free for the next urgent ones, whatever else comes. Each kind waits in the order it came, urgent ones first;
an urgent one that finds the queue full takes the place of the ordinary one that came last.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

NEWEST_SHARE = 0.1  # weight of the newest request in the mean time that requests hold a place: that of the last twenty or so counts


class Shed(StrEnum):
    """Why a request got no place."""

    QUEUE_FULL = "queue_full"
    DISPLACED = "displaced"  # by an urgent one
    WAITED = "waited"  # as long as it could
    GONE = "gone"  # its client has left


class Slots:
    """The places. Whoever got one gives it back with ``leave``; it is handed to the next in the queue at once, nobody can slip in."""

    def __init__(self, size: int, *, reserve_share: float, queue_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make ``size`` places, of which ``reserve_share`` (rounded up, never all) are kept for urgent requests."""
        self.size = size
        self.ordinary = size - min(size - 1, math.ceil(size * reserve_share - 1e-9))  # 0.2 * 35 is a little more than 7
        self.in_use = 0
        self._queue_size = queue_size
        self._clock = clock
        self._urgent: deque[asyncio.Future[Shed | None]] = deque()
        self._ordinary: deque[asyncio.Future[Shed | None]] = deque()
        self._held_s: float | None = None
        self._changed_at = clock()

    @property
    def waiting(self) -> int:
        """Return how many are in the queue."""
        return len(self._urgent) + len(self._ordinary)

    def has_room_for_urgent(self) -> bool:
        """Say whether an urgent request would get a place, now or by waiting."""
        return self.in_use < self.size or len(self._urgent) < self._queue_size

    def enter(self, *, urgent: bool = False) -> bool:
        """Take a place if there is one."""
        if self.in_use >= (self.size if urgent else self.ordinary):
            return False
        self._take()
        return True

    async def wait(self, *, urgent: bool, at_most_s: float, gone: Callable[[], Awaitable[bool]] | None = None) -> Shed | None:
        """Take a place as soon as there is one; return why there was none. ``gone`` returns True when nobody waits for it any more."""
        if self.enter(urgent=urgent):
            return None
        if at_most_s <= 0:
            return Shed.WAITED
        if self.waiting >= self._queue_size and not (urgent and self._displace()):
            return Shed.QUEUE_FULL
        line = self._urgent if urgent else self._ordinary
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Shed | None] = loop.create_future()
        line.append(place)
        timer = loop.call_later(at_most_s, _answer, place, Shed.WAITED)
        watcher = asyncio.ensure_future(gone()) if gone else None
        if watcher:
            watcher.add_done_callback(
                lambda done: not done.cancelled() and not done.exception() and done.result() and _answer(place, Shed.GONE)
            )
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.result() is None:  # cancelled in the very moment in which it was given a place
                self._give_back()
            raise
        finally:
            timer.cancel()
            if watcher:
                watcher.cancel()
            if place in line:
                line.remove(place)

    def leave(self, held_s: float) -> None:
        """Give a place back that was held for so many seconds."""
        self._held_s = held_s if self._held_s is None else self._held_s + NEWEST_SHARE * (held_s - self._held_s)
        self._give_back()

    def free_in_s(self, *, urgent: bool = False) -> float:
        """Estimate in how many seconds somebody who comes now would have a place: 0 before anybody has left.

        With n before it and c places that are held h seconds on average, one is free every h/c seconds (Little, 1961): (n + 1) h/c. A
        place is held at least as long as nothing has moved, so that it grows while all hang.
        """
        if self._held_s is None:
            return 0.0
        held_s = max(self._held_s, self._clock() - self._changed_at)
        before, places = (len(self._urgent), self.size) if urgent else (self.waiting, self.ordinary)
        return (before + 1) * held_s / places

    def _take(self) -> None:
        self.in_use += 1
        self._changed_at = self._clock()

    def _give_back(self) -> None:
        self.in_use -= 1
        self._changed_at = self._clock()
        for line, places in ((self._urgent, self.size), (self._ordinary, self.ordinary)):
            while line and self.in_use < places:
                if _answer(line.popleft(), None):
                    self._take()

    def _displace(self) -> bool:
        while self._ordinary:
            if _answer(self._ordinary.pop(), Shed.DISPLACED):
                return True
        return self.waiting < self._queue_size


def _answer(place: asyncio.Future[Shed | None], answer: Shed | None) -> bool:
    """Answer one in the queue, unless it was answered or has been cancelled already."""
    if place.done():
        return False
    place.set_result(answer)
    return True
