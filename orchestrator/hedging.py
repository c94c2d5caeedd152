"""Ask twice when the first answer is late: an LLM around an LLM."""

from __future__ import annotations

import asyncio

from orchestrator.llm import LLM, Reply, Request
from orchestrator.retry_budget import RetryBudget
from orchestrator.schema import Failure


class Hedging:
    """Sends a second request after ``after_s`` seconds without an answer; the first reply wins and the other request is cancelled.

    This cuts the slowest answers short at the price of some load (Dean and Barroso, "The Tail at Scale", 2013), so the budget of the
    retries pays for it. A failure does not win while the other request is under way. ``hedges`` counts second requests, ``won`` those
    that were answered first.
    """

    def __init__(self, llm: LLM, *, after_s: float, budget: RetryBudget) -> None:
        """Wrap ``llm``."""
        self._llm = llm
        self._after_s = after_s
        self._budget = budget
        self.hedges = 0
        self.won = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; return the last failure when both fail."""
        first = asyncio.create_task(self._ask(request))
        asked = {first}
        try:
            done, _ = await asyncio.wait(asked, timeout=self._after_s)
            if done or not self._budget.withdraw():
                return await first
            self.hedges += 1
            asked.add(asyncio.create_task(self._ask(request)))
            winner = await _first_reply(asked)
            self.won += winner is not first and not isinstance(winner.result(), Failure)
            return winner.result()
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, request: Request) -> Reply | Failure:
        return await self._llm(request)


async def _first_reply(asked: set[asyncio.Task[Reply | Failure]]) -> asyncio.Task[Reply | Failure]:
    """Return the first that is done with a reply, or else the last."""
    pending = asked
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        best = min(done, key=lambda one: isinstance(one.result(), Failure))
        if not pending or not isinstance(best.result(), Failure):
            return best
