"""Send as fast as the server bears it: an LLM around an LLM that adapts how many requests are under way at once."""

from __future__ import annotations

import asyncio
from collections import deque

from orchestrator.llm import LLM, Reply, Request
from orchestrator.retrying import TRANSIENT
from orchestrator.schema import Failure, FailureKind

START = 4  # doubled every round until the first 429: 16 at once are reached after two round trips
LONGEST_PAUSE_S = 120.0  # a server that asks for more has no quota left for now; waiting for it would look like a hang


class Paced:
    """One scheduler for all requests to one model. ``limit`` is the present limit and ``cuts`` how often it was cut.

    The limit doubles every round of requests until the first 429 (slow start) and then grows by one a round; a 429 halves it, floor 1
    (additive increase, multiplicative decrease: Chiu and Jain, 1989; Jacobson, 1988). A burst of 429s cuts once: what was under way
    at the cut says nothing about the new limit. After a 5xx, a timeout or a lost connection the limit does not grow for a round. While the
    server's ``Retry-After`` runs nothing is sent; if it is longer than ``LONGEST_PAUSE_S`` the answer is a failure of kind quota.
    """

    def __init__(self, llm: LLM, *, most: int) -> None:
        """Wrap ``llm``; there are never more than ``most`` requests under way."""
        self._llm = llm
        self._most = most
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0  # on the loop's clock
        self._held = 0  # successes to come before the limit grows again
        self.limit = float(min(START, most))
        self.cuts = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request when its turn has come."""
        await self._slot()
        try:
            await self._pause()
            cuts = self.cuts
            answer = await self._llm(request)
            return self._learn(answer, fresh=cuts == self.cuts)
        finally:
            self._under_way -= 1
            self._admit()

    async def _slot(self) -> None:
        """Wait, first come first served, until fewer than ``limit`` are under way."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was given just now: hand it on
                self._under_way -= 1
                self._admit()
            raise

    async def _pause(self) -> None:
        """Wait until the server may be asked; the pause may grow meanwhile."""
        clock = asyncio.get_running_loop().time
        while (pause := self._paused_until - clock()) > 0:  # noqa: ASYNC110  # a time is waited for, not an event
            await asyncio.sleep(pause)

    def _admit(self) -> None:
        while self._waiting and self._under_way < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                self._under_way += 1

    def _learn(self, answer: Reply | Failure, *, fresh: bool) -> Reply | Failure:
        """Adapt to an answer; ``fresh`` says that its request began after the last cut."""
        kind = answer.kind if isinstance(answer, Failure) else None
        if kind == FailureKind.RATE_LIMITED:
            if fresh:
                self.cuts += 1
                self.limit = max(self.limit / 2, 1.0)
        elif kind in TRANSIENT:
            self._held = int(self.limit)
        elif self._held:
            self._held -= 1
        elif fresh:
            self.limit = min(self.limit + (1 / self.limit if self.cuts else 1.0), float(self._most))
        return self._heed(answer)

    def _heed(self, answer: Reply | Failure) -> Reply | Failure:
        if not isinstance(answer, Failure) or answer.retry_after_s is None:
            return answer
        if answer.retry_after_s > LONGEST_PAUSE_S:
            detail = f"the server asks to be left alone for {answer.retry_after_s:.0f} s ({answer.detail})"
            return Failure(kind=FailureKind.QUOTA, detail=detail)
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + answer.retry_after_s)
        return answer


class Timed:
    """An LLM whose replies tell how long they waited: all the time that was not the successful call's own."""

    def __init__(self, llm: LLM) -> None:
        """Wrap ``llm``."""
        self._llm = llm

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; ``usage.queue_s`` is set on the reply."""
        clock = asyncio.get_running_loop().time
        began = clock()
        answer = await self._llm(request)
        if isinstance(answer, Failure):
            return answer
        waited = max(clock() - began - answer.usage.latency_s, 0.0)
        return answer.model_copy(update={"usage": answer.usage.model_copy(update={"queue_s": waited})})
