"""What a resilient LLM has done, as metrics: looked up when somebody scrapes, for a switched release brings an LLM of its own."""

from __future__ import annotations

from orchestrator.resilience import ResilientLLM
from serve.telemetry.metrics import Telemetry


class LlmWatch:
    """Tells ``telemetry`` of retries, hedges and the breaker of the LLM that it is shown."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Tell ``telemetry``."""
        self._telemetry = telemetry
        self._seen: ResilientLLM | None = None
        self._retries = self._hedges = 0

    def look(self, llm: ResilientLLM | None) -> None:
        """Count what happened since the last look. A new LLM starts from zero, and its breaker tells its changes at once from now on."""
        if llm is None:
            return
        if llm is not self._seen:
            self._seen, self._retries, self._hedges = llm, 0, 0
            llm.breaker.on_change = self._telemetry.breaker_changed
            self._telemetry.breaker_changed(llm.breaker.state, first=True)
        hedges = llm.hedging.hedges if llm.hedging else 0
        for _ in range(llm.retrying.retries - self._retries):
            self._telemetry.retried()
        for _ in range(hedges - self._hedges):
            self._telemetry.hedged()
        self._retries, self._hedges = llm.retrying.retries, hedges
