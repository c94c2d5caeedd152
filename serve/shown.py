"""What metrics and logs tell of an orchestrator while it runs: which release serves, what its LLM does, how its store's queues are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.engine import Orchestrator
from orchestrator.store import figures
from serve.telemetry import Telemetry
from serve.telemetry.llm import LlmWatch

if TYPE_CHECKING:
    from serve.telemetry.logs import Logging


@asynccontextmanager
async def shown(orchestrator: Orchestrator, telemetry: Telemetry, logs: Logging | None) -> AsyncIterator[None]:
    """Tell it within the block."""
    ledger, llm = orchestrator.ledger, LlmWatch(telemetry)

    def look() -> None:
        llm.look(orchestrator.llm)
        serving = orchestrator.serving_release
        telemetry.serving(serving, serving)
        if logs is not None:
            logs.release = serving

    look()
    telemetry.before_scrape(look)
    telemetry.watch_store(lambda: figures.count(ledger.engine, ledger.clock()))
    async with telemetry.running():
        yield
