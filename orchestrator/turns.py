"""Turns: of the pieces of work that follow an LLM's answer, one in each round of the event loop.

Such a piece (calibrate, decide, run the workflow, seal) takes a processor for a millisecond or two and awaits nothing. Where many answers
come together, all their pieces would run before anybody else is heard: a request that is to be refused at once, a health check, another
answer. In turns they hear each other after one piece.
"""

from __future__ import annotations

import asyncio
from collections import deque

from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure


class InTurn:
    """An LLM whose answers are handed on in the order they came, one a round. It belongs to one event loop."""

    def __init__(self, llm: LLM) -> None:
        """Wrap ``llm``."""
        self.inner = llm
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False  # this round has been given to somebody

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; what the caller does until it next awaits is its piece."""
        answer = await self.inner(request)
        await self._turn()
        return answer

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._taken:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._next)

    def _next(self) -> None:
        """Give the next round to who has waited longest and still does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._taken = False
