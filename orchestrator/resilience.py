"""LLMs that wrap an LLM. So far: the one retry layer."""

from __future__ import annotations

from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_random_exponential
from tenacity.wait import WaitBaseT

from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure, FailureKind

# Quota, rejection, refusal and truncation come back the same however often one asks.
TRANSIENT = frozenset({FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.RATE_LIMITED, FailureKind.SERVER})


class Retrying:
    """Ask again after a transient failure, up to ``attempts`` times in all, with exponential backoff and full jitter."""

    def __init__(self, llm: LLM, *, attempts: int = 3, wait: WaitBaseT | None = None) -> None:
        """Wrap ``llm``."""
        self._llm = llm
        self._attempts = attempts
        self._wait = wait or wait_random_exponential(multiplier=0.5, max=20)

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request; return the last failure when every attempt failed."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=self._wait,
            retry=retry_if_result(_is_transient),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        answer: Reply | Failure = await retrying(self._llm, request)
        return answer


def _is_transient(answer: Reply | Failure) -> bool:
    return isinstance(answer, Failure) and answer.kind in TRANSIENT
