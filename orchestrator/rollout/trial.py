"""One challenger beside the active release in one process: which messages it gets, and what is compared."""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator.rollout.guard import Guard, Limits
from orchestrator.rollout.plan import Challenge, Mode, in_share
from orchestrator.rollout.serving import Serving
from orchestrator.rollout.shadow import Shadow
from orchestrator.schema import Message, Outcome
from orchestrator.store.comparisons import Comparison

_log = logging.getLogger(__name__)


class Trial:
    """A challenge whose release is open. ``stopped`` says why its guard has ended it here."""

    def __init__(
        self, challenge: Challenge, challenger: Serving, shadow: Shadow, limits: Limits | None, on_stop: Callable[[], None]
    ) -> None:
        """Try ``challenger``; comparisons go through ``shadow``, and ``on_stop`` is called when the guard ends it."""
        self.challenge, self.challenger = challenge, challenger
        self.stopped: str | None = None
        self._shadow, self._guard, self._on_stop = shadow, Guard(limits), on_stop

    def answers(self, client: str) -> bool:
        """Say whether this client is answered by the challenger."""
        return self.challenge.mode == Mode.CANARY and not self.stopped and self._is_mine(client)

    def after(self, message: Message, outcome: Outcome, active: Serving) -> None:
        """Begin the comparison of an answered message, if it is one to compare; an answer of a third release is none."""
        by_challenger = outcome.release == self.challenger.release
        if self.stopped or outcome.release not in {self.challenger.release, active.release}:
            return
        if self.challenge.mode == Mode.SHADOW:
            if self._is_mine(outcome.request_id):
                self._shadow.begin(message, outcome, self.challenger, Mode.SHADOW, self._compared)
            return
        self._stop(self._guard.answered(by_canary=by_challenger, degraded=outcome.classification.degraded))
        if by_challenger and not self.stopped:
            self._shadow.begin(message, outcome, active, Mode.CANARY, self._compared)

    def _is_mine(self, key: str) -> bool:
        return in_share(self.challenge.share, release=self.challenge.release, key=key)

    def _compared(self, found: Comparison) -> None:
        if self.challenge.mode == Mode.CANARY:
            self._stop(self._guard.compared(found))

    def _stop(self, reason: str | None) -> None:
        if reason and not self.stopped:
            self.stopped = reason
            _log.error("the canary %s is stopped: %s", self.challenge.release, reason)
            self._on_stop()
