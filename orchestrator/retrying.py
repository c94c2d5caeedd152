"""The one retry layer: an LLM around an LLM."""

from __future__ import annotations

import asyncio

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import StopBaseT
from tenacity.wait import WaitBaseT

from orchestrator.deadline import left_s
from orchestrator.llm import LLM, Reply, Request
from orchestrator.retry_budget import RetryBudget
from orchestrator.schema import Failure, FailureKind

# Quota, rejection, refusal and truncation come back the same however often one asks; an open breaker wants no more calls.
TRANSIENT = frozenset({FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.RATE_LIMITED, FailureKind.SERVER})
MEMORY = 0.1  # weight of the newest reply in the usual time


class Retrying:
    """Ask again after a transient failure, up to ``attempts`` times in all, with exponential backoff and full jitter.

    The server's ``Retry-After`` is waited out where it is longer than the backoff. The whole takes ``deadline_s`` seconds at most: a
    wait that would outlast it is not begun, and an attempt that outlasts it is given up. Nor is one begun where, after the wait, the time
    limit of the message (``orchestrator.deadline``) leaves less than a reply usually takes, or where the ``budget`` has none left.
    ``retries`` counts those that were made.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        attempts: int = 3,
        deadline_s: float | None = None,
        wait: WaitBaseT | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        """Wrap ``llm``; without ``deadline_s`` and a time limit the attempts alone bound it."""
        self._llm = llm
        self._attempts = attempts
        self._deadline_s = deadline_s
        self._backoff = wait or wait_random_exponential(multiplier=0.5, max=20)
        self._budget = budget
        self._usual_s = 0.0  # of a reply
        self.retries = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; return the last failure when every attempt failed."""
        if self._budget:
            self._budget.deposit()
        try:
            async with asyncio.timeout(self._deadline_s) as bound:
                answer = await self._attempt(request)
                return await self._again(request, answer, until=bound.when()) if _is_transient(answer) else answer
        except TimeoutError:
            return Failure(kind=FailureKind.TIMEOUT, detail=f"no reply within {self._deadline_s:g} s, waits and retries included")

    async def _attempt(self, request: Request) -> Reply | Failure:
        clock = asyncio.get_running_loop().time
        began = clock()
        answer = await self._llm(request)
        if not isinstance(answer, Failure):
            took_s = clock() - began
            self._usual_s += MEMORY * (took_s - self._usual_s) if self._usual_s else took_s
        return answer

    async def _again(self, request: Request, first: Reply | Failure, *, until: float | None) -> Reply | Failure:
        """Make the other attempts. Tenacity is called for them alone: it costs as much as all the rest of a call that succeeds."""
        begun = [first]

        async def attempt() -> Reply | Failure:
            if begun:
                return begun.pop()
            self.retries += 1
            return await self._attempt(request)

        retrying = AsyncRetrying(
            stop=self._stop(until),
            wait=self._wait,
            retry=retry_if_result(_is_transient),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        answer: Reply | Failure = await retrying(attempt)
        return answer

    def _stop(self, until: float | None) -> StopBaseT:
        stops: list[StopBaseT] = [stop_after_attempt(self._attempts), self._cannot_end]
        if until is not None:
            stops.append(stop_before_delay(until - asyncio.get_running_loop().time()))
        stops.append(self._cannot_afford)  # last: what stops for another reason is not paid for
        return lambda state: any(stop(state) for stop in stops)

    def _cannot_end(self, state: RetryCallState) -> bool:
        return state.upcoming_sleep + self._usual_s >= left_s()

    def _cannot_afford(self, _state: RetryCallState) -> bool:
        return self._budget is not None and not self._budget.withdraw()

    def _wait(self, state: RetryCallState) -> float:
        answer = state.outcome.result() if state.outcome else None
        asked = answer.retry_after_s if isinstance(answer, Failure) else None
        return max(float(self._backoff(state)), asked or 0.0)


def _is_transient(answer: Reply | Failure) -> bool:
    return isinstance(answer, Failure) and answer.kind in TRANSIENT
