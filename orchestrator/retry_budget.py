"""How many retries an LLM may be burdened with: a share of its calls."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.recent import Recent

WINDOW_S = 10.0
MINIMUM = 3  # in each window, so that a service with few calls may retry at all


class RetryBudget:
    """Allows ``share`` of the calls of the last ten seconds as retries, and ``MINIMUM`` beside; with a share of 0 it allows none.

    Without it, two attempts for each call double the load on an LLM that is failing under its load. The idea is Finagle's
    (K. Oliver, "Retry Budgets", 2016, which also expires credits after ten seconds) and gRPC's (retry throttling in proposal A6, 2017).
    ``spent`` counts the retries allowed and ``refused`` those that were not. Hedges are paid from it too.
    """

    def __init__(self, share: float, *, window_s: float = WINDOW_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow ``share`` retries a call, over ``window_s`` seconds of ``clock``."""
        self._share = share
        self._minimum = MINIMUM if share > 0 else 0
        self._recent = Recent(window_s, clock)
        self.spent = 0
        self.refused = 0

    def deposit(self) -> None:
        """Count a call that is made for the first time."""
        self._recent.add(marked=False)

    def withdraw(self) -> bool:
        """Return whether one more request may be sent for a call, and count it if so."""
        retries = self._recent.marked
        calls = self._recent.total - retries
        if retries + 1 > self._minimum + self._share * calls:
            self.refused += 1
            return False
        self._recent.add(marked=True)
        self.spent += 1
        return True
