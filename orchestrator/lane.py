"""A lane: the messages of one destination, begun in order, several under way at once, each written down as it ends.

A lane takes a message only when it can begin to deliver it. So a lease need outlast one delivery, and nothing lies in a relay that stops.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from random import Random

from orchestrator.errors import StoreUnavailableError
from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import Due, Topic
from orchestrator.webhooks import Answer

ATTEMPTS = 30  # then a message is a dead letter: some ten hours, so that a receiver that is down overnight loses nothing
BACKOFF_S, MAX_BACKOFF_S = 1.0, 3600.0
POLL_S = 1.0  # how often the outbox is looked into
_log = logging.getLogger(__name__)

Deliver = Callable[[Due], Awaitable[Answer]]


class Lane:
    """Delivers the messages of some topics. What could not be written down is kept, and written before anything new is taken."""

    def __init__(
        self,
        ledger: Ledger,
        topics: tuple[Topic, ...],
        deliver: Deliver,
        *,
        lease_s: float,
        concurrency: int,
        random: Random,
    ) -> None:
        """Have at most ``concurrency`` messages under way at once; a delivery must end well within ``lease_s`` seconds."""
        self._ledger = ledger
        self._topics = topics
        self._deliver = deliver
        self._lease_s = lease_s
        self._concurrency = concurrency
        self._random = random
        self._unwritten: deque[Callable[[], None]] = deque()

    async def drain(self, *, limit: int = sys.maxsize, stop: asyncio.Event | None = None) -> Counter[str]:
        """Deliver what is due, begun in the order of its ids, and return how many were delivered, retried and dead.

        It ends when nothing is due, when ``limit`` were begun or when ``stop`` is set, and always with nothing under way. Raises
        ``StoreUnavailableError`` when nothing can be taken, or when something could not be written down yet.
        """
        counts: Counter[str] = Counter()
        under_way: set[asyncio.Task[str]] = set()
        begun = 0
        try:
            while True:
                room = min(self._concurrency - len(under_way), limit - begun)
                taken = await self._take(room) if room and not (stop and stop.is_set()) else []
                begun += len(taken)
                under_way |= {asyncio.create_task(self._one(message)) for message in taken}
                if not under_way:
                    break
                # Not only when one has ended: what becomes due meanwhile shall not wait for a receiver that hangs.
                done, under_way = await asyncio.wait(under_way, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
                counts.update(task.result() for task in done)
        finally:
            if under_way:
                await asyncio.wait(under_way)
        await self.write_down()
        return counts

    async def write_down(self) -> None:
        """Write what could not be written before. Raises ``StoreUnavailableError`` when it cannot be written now either."""
        while self._unwritten:
            write = self._unwritten.popleft()
            try:
                await asyncio.to_thread(write)
            except StoreUnavailableError:
                self._unwritten.appendleft(write)
                raise

    async def _take(self, room: int) -> list[Due]:
        await self.write_down()  # first, or what was delivered would be taken once more
        return await asyncio.to_thread(self._ledger.take_due, self._topics, limit=room, lease_s=self._lease_s)

    async def _one(self, message: Due) -> str:
        """Deliver one message, write down what came of it, and return that."""
        came_of_it, write = self._judge(message, await self._deliver(message))
        try:
            await asyncio.to_thread(write)
        except StoreUnavailableError:
            self._unwritten.append(write)
        return came_of_it

    def _judge(self, message: Due, answer: Answer) -> tuple[str, Callable[[], None]]:
        """Return what came of a delivery, and what writes it down."""
        if answer.delivered:
            return "delivered", partial(self._ledger.settle, message)
        if answer.final or message.attempts >= ATTEMPTS:
            _log.error("message %s is a dead letter after %d attempts: %s", message.key, message.attempts, answer.error)
            return "dead", partial(self._ledger.fail, message, answer.error, None)
        wait_s = backoff_s(message.attempts, answer.retry_after_s, self._random)
        _log.warning("message %s was not delivered at attempt %d, again in %.1f s: %s", message.key, message.attempts, wait_s, answer.error)
        return "retried", partial(self._ledger.fail, message, answer.error, self._ledger.clock() + timedelta(seconds=wait_s))


def backoff_s(attempts: int, retry_after_s: float | None, random: Random) -> float:
    """Return how long to wait after so many attempts: exponential with full jitter, or ``Retry-After`` where that is longer.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. No wait is longer than an hour.
    """
    backoff = random.uniform(0.0, min(BACKOFF_S * 2.0 ** (attempts - 1), MAX_BACKOFF_S))
    return max(backoff, min(retry_after_s or 0.0, MAX_BACKOFF_S))
