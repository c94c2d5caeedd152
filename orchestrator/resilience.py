"""LLMs that wrap an LLM. So far: the one retry layer."""

from __future__ import annotations

import asyncio

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_any,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.wait import WaitBaseT

from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure, FailureKind

# Quota, rejection, refusal and truncation come back the same however often one asks.
TRANSIENT = frozenset({FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.RATE_LIMITED, FailureKind.SERVER})


class Retrying:
    """Ask again after a transient failure, up to ``attempts`` times in all, with exponential backoff and full jitter.

    The server's ``Retry-After`` is waited out where it is longer than the backoff. The whole takes ``deadline_s`` seconds at most: a
    wait that would outlast it is not begun, and an attempt that outlasts it is given up.
    """

    def __init__(self, llm: LLM, *, attempts: int = 3, deadline_s: float | None = None, wait: WaitBaseT | None = None) -> None:
        """Wrap ``llm``; without ``deadline_s`` the attempts alone bound it."""
        self._llm = llm
        self._attempts = attempts
        self._deadline_s = deadline_s
        self._backoff = wait or wait_random_exponential(multiplier=0.5, max=20)

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; return the last failure when every attempt failed."""
        try:
            async with asyncio.timeout(self._deadline_s) as bound:
                answer = await self._llm(request)
                return await self._again(request, answer, until=bound.when()) if _is_transient(answer) else answer
        except TimeoutError:
            return Failure(kind=FailureKind.TIMEOUT, detail=f"no reply within {self._deadline_s:g} s, waits and retries included")

    async def _again(self, request: Request, first: Reply | Failure, *, until: float | None) -> Reply | Failure:
        """Make the other attempts. Tenacity is called for them alone: it costs as much as all the rest of a call that succeeds."""
        begun = [first]

        async def attempt() -> Reply | Failure:
            return begun.pop() if begun else await self._llm(request)

        stop = stop_after_attempt(self._attempts)
        retrying = AsyncRetrying(
            stop=stop if until is None else stop_any(stop, stop_before_delay(until - asyncio.get_running_loop().time())),
            wait=self._wait,
            retry=retry_if_result(_is_transient),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        answer: Reply | Failure = await retrying(attempt)
        return answer

    def _wait(self, state: RetryCallState) -> float:
        answer = state.outcome.result() if state.outcome else None
        asked = answer.retry_after_s if isinstance(answer, Failure) else None
        return max(float(self._backoff(state)), asked or 0.0)


def _is_transient(answer: Reply | Failure) -> bool:
    return isinstance(answer, Failure) and answer.kind in TRANSIENT
