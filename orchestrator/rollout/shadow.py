"""Ask another release about messages that are answered already, in the background: bounded in number and in time, awaited by nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from orchestrator.classify import judge
from orchestrator.deadline import time_limit
from orchestrator.errors import StoreUnavailableError
from orchestrator.manipulation import distrusted
from orchestrator.rollout.plan import Mode
from orchestrator.rollout.serving import Serving
from orchestrator.schema import Answer, Category, Classification, Failure, FailureKind, Message, Outcome
from orchestrator.store.comparisons import Comparison, Side

MAX_KEPT = 10_000  # comparisons that wait for a store that takes nothing; some megabytes
OnCompared = Callable[[bool, Category, Category], None]
_log = logging.getLogger(__name__)


class Shadow:
    """The comparisons under way and those not yet written.

    ``dropped`` counts those left out for want of room, ``failed`` those that met a bug of ours.
    """

    def __init__(
        self, clock: Callable[[], datetime], *, concurrency: int, deadline_s: float, on_compared: OnCompared | None = None
    ) -> None:
        """Ask at most ``concurrency`` at once, each for ``deadline_s`` seconds; ``on_compared`` is told agreement and both categories."""
        self._clock, self._concurrency, self._deadline_s = clock, concurrency, deadline_s
        self._on_compared = on_compared
        self._tasks: set[asyncio.Task[None]] = set()
        self._found: list[Comparison] = []
        self.dropped = 0
        self.failed = 0

    @property
    def in_use(self) -> int:
        """How many are being asked about now."""
        return len(self._tasks)

    def begin(self, message: Message, outcome: Outcome, other: Serving, mode: Mode, then: Callable[[Comparison], None]) -> None:
        """Ask ``other`` about a message too, unless enough are under way; ``then`` is told what came of it."""
        if self.in_use >= self._concurrency:
            self.dropped += 1
            return
        other.take()
        task = asyncio.create_task(self._compare(message, outcome, other, mode, then))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: other.give_back())

    async def flush(self, write: Callable[[Sequence[Comparison]], object]) -> None:
        """Hand what was found to ``write``, in a thread; where the store is away, all is kept for the next time."""
        if not self._found:
            return
        found, self._found = self._found, []
        writing = asyncio.ensure_future(asyncio.to_thread(write, found))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})  # the thread goes on: what it writes must not be written again
            raise
        except StoreUnavailableError:
            self._found = found + self._found
            raise
        except Exception:
            self.failed += len(found)  # what the store refuses once it refuses always
            raise

    async def close(self) -> None:
        """Give up what is under way."""
        for task in (under_way := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _compare(self, message: Message, outcome: Outcome, other: Serving, mode: Mode, then: Callable[[Comparison], None]) -> None:
        try:
            asked = Side.of(other.release, await self._answered(message, other))
            used = Side.of(outcome.release, outcome.classification)
            champion, challenger = (used, asked) if mode == Mode.SHADOW else (asked, used)
            found = Comparison(
                request_id=outcome.request_id, created_at=self._clock(), mode=mode.value, champion=champion, challenger=challenger
            )
            self._keep(found)
            then(found)
            if self._on_compared:
                self._on_compared(found.agree, champion.category, challenger.category)
        except Exception as error:  # noqa: BLE001  # whoever asked was answered long ago
            self.failed += 1  # the error's text may hold the message's
            _log.warning("release %s could not be compared: %s", other.release, type(error).__name__)

    async def _answered(self, message: Message, other: Serving) -> Classification:
        """Return what the release decides with all that is around every release: else an attack would look like a release that differs."""
        return distrusted(message.text, await self._ask(message, other))

    async def _ask(self, message: Message, other: Serving) -> Classification:
        """Return what the release answers; after the deadline the degraded answer: a failure stays in every denominator."""
        asked = other.classifier
        try:
            # The limit is for the LLM, whose breaker is to see that it takes too long; the rest is for one that minds no limit.
            async with asyncio.timeout(1.1 * self._deadline_s):
                with time_limit(self._deadline_s, FailureKind.TIMEOUT):
                    return await asked(message)
        except TimeoutError:
            late = Answer(failure=Failure(kind=FailureKind.TIMEOUT, detail="no answer within the deadline of a comparison"))
            return judge(message, late, asked.local, asked.tuning, asked.render.asked)

    def _keep(self, found: Comparison) -> None:
        if len(self._found) >= MAX_KEPT:
            self.dropped += 1
        else:
            self._found.append(found)
