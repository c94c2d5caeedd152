"""Whether a canary must be stopped: it goes without the LLM far more often than the champion, or misses what the champion finds."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.schema import Record
from orchestrator.store.comparisons import Comparison


class Limits(Record):
    """When a canary is stopped. Deliberately coarse: a false alarm costs a look, and the champion answers meanwhile."""

    window_s: float = 300.0
    min_answers: int = 20  # of the canary in the window; below that its share says nothing
    degraded_margin: float = 0.2  # how far its share of degraded answers may lie above the champion's
    missed_safety: int = 10  # messages the champion routes as safety and it does not, less the reverse


class Window:
    """How many answers of the last seconds were degraded, counted in tenths of the window."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._step_s, self._clock = window_s / 10, clock
        self._counts: dict[int, tuple[int, int]] = {}

    def add(self, *, degraded: bool) -> None:
        """Count one answer."""
        now = int(self._clock() / self._step_s)
        answers, bad = self._counts.get(now, (0, 0))
        self._counts = {at: count for at, count in self._counts.items() if at > now - 10} | {now: (answers + 1, bad + degraded)}

    def totals(self) -> tuple[int, int]:
        """Return the answers of the window, and how many of them were degraded."""
        since = int(self._clock() / self._step_s) - 10
        kept = [count for at, count in self._counts.items() if at > since]
        return sum(answers for answers, _ in kept), sum(bad for _, bad in kept)


class Guard:
    """Watches one canary in one process. Both sides share a window of time, so an outage of the LLM of both is no difference."""

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch by ``limits``; ``clock`` is monotonic."""
        self._limits = limits or Limits()
        self._canary, self._champion = (Window(self._limits.window_s, clock) for _ in range(2))
        self._missed = 0

    def answered(self, *, by_canary: bool, degraded: bool) -> str | None:
        """Count an answer; return why the canary must stop, or None."""
        (self._canary if by_canary else self._champion).add(degraded=degraded)
        if not (by_canary and degraded):
            return None
        (answers, bad), (others, others_bad) = self._canary.totals(), self._champion.totals()
        own, usual = bad / answers, others_bad / others if others else 0.0
        if answers < self._limits.min_answers or own <= usual + self._limits.degraded_margin:
            return None
        return f"{bad} of its last {answers} answers were degraded ({own:.0%}), of the champion's {others_bad} of {others} ({usual:.0%})"

    def compared(self, found: Comparison) -> str | None:
        """Count a comparison; return why the canary must stop, or None."""
        self._missed += found.champion.routed_as_safety - found.challenger.routed_as_safety
        if self._missed < self._limits.missed_safety:
            return None
        return f"the champion routes {self._missed} messages more as safety than it, of those both were asked about"
