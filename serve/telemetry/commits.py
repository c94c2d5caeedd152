"""Measure the store's commits: a ledger that says how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orchestrator.engine import Orchestrator
from orchestrator.schema import Message, Outcome
from orchestrator.store.ledger import Idempotency, Ledger
from serve.telemetry import timing


@dataclass(frozen=True)
class TimedLedger(Ledger):
    """A ledger that calls ``committed`` with the seconds of each commit and adds them to the timings of the request it is for."""

    committed: Callable[[float], None] = lambda _: None

    def submit(self, message: Message, outcome: Outcome, idempotency: Idempotency | None = None) -> Future[None]:
        """Queue everything about one outcome, as ``Ledger.submit`` does."""
        started = time.perf_counter()
        timings = timing.current.get()
        future = super().submit(message, outcome, idempotency)

        def note(done: Future[None]) -> None:
            if done.cancelled() or done.exception():
                return
            took_s = time.perf_counter() - started
            if timings is not None:
                timings["store"] = took_s
            self.committed(took_s)

        future.add_done_callback(note)  # before anybody who waits for it: what waits finds the timing
        return future


@contextmanager
def timed(orchestrator: Orchestrator, committed: Callable[[float], None]) -> Iterator[Orchestrator]:
    """Yield the orchestrator with its commits measured, on the same database and keys."""
    ledger = orchestrator.ledger
    measured = TimedLedger(ledger.engine, ledger.environment, ledger.clock, committed)
    try:
        yield replace(orchestrator, ledger=measured)
    finally:
        measured.close()
