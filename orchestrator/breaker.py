"""A circuit breaker: an LLM around an LLM that leaves it alone while it is failing."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from orchestrator.llm import LLM, Reply, Request
from orchestrator.recent import Recent
from orchestrator.schema import Failure, FailureKind

# The breaker asks one thing: is the LLM there? A 4xx (429 and quota included), a refusal or a cut reply is an answer of one that is.
FAULTS = frozenset({FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.SERVER})
NOT_ASKED = Failure(kind=FailureKind.BREAKER_OPEN, detail="the LLM has failed too often of late and is left alone for a while")


class State(StrEnum):
    """What a breaker does with calls: lets them through, refuses them, or waits for the one it let through as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens when ``failure_share`` of at least ``min_calls`` calls in the last ``window_s`` seconds failed.

    Open, it answers at once with a failure of kind ``breaker_open``. After ``open_s`` seconds the next call goes through as a probe, and
    it alone, however many come meanwhile: an answer closes the breaker, a fault opens it anew. A call that is cancelled, or cut short by
    the deadline of its message, says nothing of the LLM; when it was the probe, the next call is the probe. What began before the last
    change of state has no bearing on the present one. Time is ``clock``'s, which never goes back: a wall clock that jumps has no effect.

    ``opened_total`` counts how often it opened, failed probes not counted; ``on_change`` is told each new state. It is of one event loop.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        failure_share: float = 0.5,
        min_calls: int = 10,
        window_s: float = 10.0,
        open_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap ``llm``, closed."""
        self._llm = llm
        self._failure_share = failure_share
        self._min_calls = min_calls
        self._open_s = open_s
        self._clock = clock
        self._recent = Recent(window_s, clock)  # marked: the failed ones
        self._opened_at = 0.0
        self._era = 0  # how often the state has changed
        self.state = State.CLOSED
        self.opened_total = 0
        self.on_change: Callable[[State], None] = lambda _state: None

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request, or refuse it at once."""
        if not self._admits():
            return NOT_ASKED
        era = self._era
        failed = None
        try:
            answer = await self._llm(request)
            failed = _failed(answer)
        finally:  # also when it is cancelled
            self._learn(failed=failed, era=era)
        return answer

    def _admits(self) -> bool:
        if self.state is State.OPEN and self._clock() - self._opened_at >= self._open_s:
            self._become(State.HALF_OPEN)
            return True
        return self.state is State.CLOSED

    def _learn(self, *, failed: bool | None, era: int) -> None:
        if era != self._era:
            return
        if self.state is State.HALF_OPEN:
            self._end_probe(failed=failed)
        elif failed is not None:
            self._recent.add(marked=failed)
            if self._recent.total >= self._min_calls and self._recent.marked >= self._failure_share * self._recent.total:
                self.opened_total += 1
                self._open()

    def _end_probe(self, *, failed: bool | None) -> None:
        if failed is None:
            self._become(State.OPEN)  # since when it was: the next call may probe
        elif failed:
            self._open()
        else:
            self._become(State.CLOSED)

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._recent.clear()
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        self.state = state
        self._era += 1
        self.on_change(state)


def _failed(answer: Reply | Failure) -> bool | None:
    """Return whether the LLM failed; None where nobody knows."""
    if not isinstance(answer, Failure):
        return False
    return None if answer.kind is FailureKind.DEADLINE else answer.kind in FAULTS
