"""The layers around an LLM, put together: what the service asks it through."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import Field

from orchestrator.breaker import Breaker
from orchestrator.deadline import RECORDING_S, Allotted, Punctual
from orchestrator.hedging import Hedging
from orchestrator.llm import LLM, Reply, Request
from orchestrator.retry_budget import RetryBudget
from orchestrator.retrying import Retrying
from orchestrator.schema import Failure, Record
from orchestrator.schema_canary import SchemaCanary

MARGIN = 0.1  # share of a message's time that may pass before the LLM is asked: reading, rendering, waiting for a turn on a busy loop


class Resilience(Record):
    """How an LLM is asked. The service has a setting for each."""

    timeout_s: float = Field(30.0, gt=0)  # for one answer, retries included
    attempts: int = Field(2, ge=1)
    retry_share: float = Field(0.1, ge=0)
    hedge_s: float | None = Field(None, gt=0)
    breaker_failure_share: float = Field(0.5, gt=0)
    breaker_min_calls: int = Field(10, ge=1)
    breaker_window_s: float = Field(10.0, gt=0)
    breaker_open_s: float = Field(5.0, gt=0)
    canary: bool = False  # ask once, at the start, whether the server holds replies to the schema

    def within(self, deadline_s: float, *, queue_s: float = 0.0) -> Resilience:
        """Return this with a timeout that ends before the deadline that every message has, also one that waited ``queue_s`` seconds.

        Otherwise an LLM that hangs would look like callers in a hurry, each message's deadline being the first to pass, and the breaker
        would never open. At least half of the deadline is left to the LLM.
        """
        longest_s = max((1 - MARGIN) * (deadline_s - queue_s) - RECORDING_S, deadline_s / 2)
        return self.model_copy(update={"timeout_s": min(self.timeout_s, longest_s)})


# For work that nobody waits for: degraded answers save no time there, so nothing is given up early. No share of failures is above 1.
PATIENT = Resilience(attempts=4, retry_share=1.0, breaker_failure_share=1.01)


class ResilientLLM:
    """An LLM behind all layers. Its parts are what a service shows: ``breaker``, ``retrying``, ``hedging``, ``budget``, ``canary``.

    The order, outermost first, and its reason:

    - ``Allotted``: the time for one answer is that of everything below.
    - ``Retrying``: the one retry layer. Each attempt passes the breaker anew, so a breaker that opens ends the retries, and a probe is one
      request and no series of them.
    - ``Hedging``: each of its requests passes the breaker, where the loser, cancelled, says nothing.
    - ``Breaker``: next to the LLM, so that it sees every request and what became of it.
    - ``Punctual``: below the breaker, so that time that is over is a failure it sees, and whose time it was.
    """

    def __init__(
        self, llm: LLM, how: Resilience, *, canary: SchemaCanary | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Put the layers around ``llm``."""
        self.canary = canary
        self.budget = RetryBudget(how.retry_share, clock=clock)
        self.breaker = Breaker(
            Punctual(llm),
            failure_share=how.breaker_failure_share,
            min_calls=how.breaker_min_calls,
            window_s=how.breaker_window_s,
            open_s=how.breaker_open_s,
            clock=clock,
        )
        self.hedging = Hedging(self.breaker, after_s=how.hedge_s, budget=self.budget) if how.hedge_s else None
        self.retrying = Retrying(self.hedging or self.breaker, attempts=how.attempts, budget=self.budget)
        self._llm = Allotted(self.retrying, timeout_s=how.timeout_s)

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        return await self._llm(request)
