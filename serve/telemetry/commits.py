"""Measure the store's commits: a ledger around a ledger, that says how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

from orchestrator.engine import Orchestrator
from orchestrator.schema import Message, Outcome
from orchestrator.store.ledger import Idempotency, Ledger
from serve.telemetry import timing


def timed(orchestrator: Orchestrator, committed: Callable[[float], None]) -> Orchestrator:
    """Return the orchestrator with its commits measured: ``committed`` gets their seconds, and so does the request each is for."""
    return replace(orchestrator, ledger=cast("Ledger", TimedLedger(orchestrator.ledger, committed)))


class TimedLedger:
    """A ledger in all, and it calls ``committed`` with the seconds of each commit and adds them to the timings of its request."""

    def __init__(self, ledger: Ledger, committed: Callable[[float], None]) -> None:
        """Wrap ``ledger``."""
        self._ledger = ledger
        self._committed = committed

    def __getattr__(self, name: str) -> Any:
        """Return what the ledger has of this name."""
        return getattr(self._ledger, name)

    def submit(self, message: Message, outcome: Outcome, idempotency: Idempotency | None = None) -> Future[None]:
        """Queue everything about one outcome, as ``Ledger.submit`` does."""
        started = time.perf_counter()
        timings = timing.current.get()
        future = self._ledger.submit(message, outcome, idempotency)

        def note(done: Future[None]) -> None:
            if done.cancelled() or done.exception():
                return
            took_s = time.perf_counter() - started
            if timings is not None:
                timings["store"] = took_s
            self._committed(took_s)

        future.add_done_callback(note)  # before anybody who waits for it: what waits finds the timing
        return future
