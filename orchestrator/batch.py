"""Handle many messages, a few at a time, each once however often the batch is run: ``Item -> Done``, in order."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from orchestrator.batch_items import Item
from orchestrator.errors import ConflictError, StoreUnavailableError
from orchestrator.incoming import digest_of
from orchestrator.schema import Message, Outcome
from orchestrator.store.entry import Idempotency

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # a database that restarts or fails over is back within a minute
AHEAD = 8  # results that may wait for a slow one before them, as a multiple of what is under way at once
RESULT = {
    "id": str,
    "request_id": str,
    "category": str,
    "confidence": float,
    "band": str,
    "review_required": bool,
    "degraded": bool,
    "next_action": str,
}


class Handle(Protocol):
    """What handles one message: ``Orchestrator.handle``."""

    async def __call__(self, message: Message, *, request_id: str | None = None, idempotency: Idempotency | None = None) -> Outcome:
        """Return the outcome, durably recorded; of a key that was used before, the one from then."""
        ...


class Done(NamedTuple):
    """One message that was handled; ``before`` says that an earlier run did it."""

    item: Item
    outcome: Outcome
    before: bool

    def result(self) -> dict[str, str | float | bool]:
        """Return the row of the results, with the columns of ``RESULT``."""
        decision = self.outcome.classification.decision
        return {
            "id": self.item.id,
            "request_id": self.outcome.request_id,
            "category": decision.category.value,
            "confidence": decision.confidence,
            "band": decision.band.value,
            "review_required": decision.review_required,
            "degraded": self.outcome.classification.degraded,
            "next_action": self.outcome.result.next_step.action,
        }


@dataclass
class Batch:
    """A run over the messages of one client; ``client`` and each item's key make what was recorded before count as done.

    ``stop`` ends it: no further message is begun, and ``stopped`` says afterwards that some were not. While the store takes nothing,
    a message waits ``waits_s`` seconds, one after the other, before it is tried again; ``waiting`` is told of the first that waits.
    """

    handle: Handle
    client: str
    concurrency: int = 4
    waits_s: Sequence[float] = WAITS_S
    waiting: Callable[[StoreUnavailableError, float], None] = lambda _error, _wait_s: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    _waiting: int = 0

    async def run(self, items: Iterable[Item]) -> AsyncIterator[Done]:
        """Yield what became of each item, in order.

        Raises ``ConflictError`` when an earlier run took something else for one of them: then the file was read with other options.
        Raises ``StoreUnavailableError`` when the store takes nothing for longer than all waits together.
        """
        slots = asyncio.Semaphore(self.concurrency)
        window: deque[asyncio.Task[Done | None]] = deque()
        try:
            for item in items:
                if self.stop.is_set():
                    self.stopped = True
                    break
                window.append(asyncio.create_task(self._one(item, slots)))
                if len(window) >= AHEAD * self.concurrency and (result := await window.popleft()):
                    yield result
            while window:
                if result := await window.popleft():
                    yield result
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    async def _one(self, item: Item, slots: asyncio.Semaphore) -> Done | None:
        """Handle one item when its turn has come; None when the batch was stopped before that."""
        async with slots:
            if self.stop.is_set():
                self.stopped = True
                return None
            try:
                return await self._patiently(item)
            except ConflictError:
                told = f"{item.place}: an earlier run of this file took another text, channel or customer here"
                raise ConflictError(f"{told}: give the options it had, or rename the file for a new batch") from None

    async def _patiently(self, item: Item) -> Done:
        key = Idempotency(client=self.client, key=item.key, body_hash=digest_of(item.message))
        request_id = str(uuid.uuid4())
        waits = iter(self.waits_s)
        while True:
            try:
                outcome = await self.handle(item.message, request_id=request_id, idempotency=key)
                return Done(item, outcome, before=outcome.request_id != request_id)
            except StoreUnavailableError as error:
                wait_s = next(waits, None)
                if wait_s is None or self.stop.is_set():
                    raise
                await self._wait(error, wait_s)

    async def _wait(self, error: StoreUnavailableError, wait_s: float) -> None:
        if not self._waiting:
            self.waiting(error, wait_s)
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self.stop.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
