"""The orchestrator: ``Message -> Outcome``. Classify, run the category's workflow, record both."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.classify import Classifier
from orchestrator.errors import ConflictError
from orchestrator.knowledge_base import KnowledgeBase, packaged_folder
from orchestrator.schema import Category, Message, Outcome
from orchestrator.store.ledger import Idempotency, Ledger
from orchestrator.workflows.base import Workflow
from orchestrator.workflows.informational import Informational
from orchestrator.workflows.safety_compliance import SafetyCompliance
from orchestrator.workflows.service_action import OrderLookup, ServiceAction


@dataclass(frozen=True)
class Orchestrator:
    """A classifier, three workflows and the ledger."""

    release: str
    classifier: Classifier
    workflows: Mapping[Category, Workflow]
    ledger: Ledger

    async def handle(
        self,
        message: Message,
        *,
        request_id: str | None = None,
        idempotency: Idempotency | None = None,
        deadline_s: float | None = None,  # noqa: ARG002  # the seam its callers need; the resilience branch keeps it
    ) -> Outcome:
        """Handle one message. When this returns, the outcome is durably recorded.

        A repeated idempotency key gets the outcome it got before, and nothing is done twice. Raises ``ConflictError`` when the key was
        used for another request, and ``StoreUnavailableError`` when the store takes nothing: then the same request may be made again.
        """
        started = time.perf_counter()
        if idempotency and (before := await asyncio.to_thread(self.ledger.recorded, idempotency)):
            return before
        classification = await self.classifier(message)
        workflow = self.workflows[classification.decision.category]
        result = await asyncio.to_thread(workflow, message, classification) if workflow.blocking else workflow(message, classification)
        outcome = Outcome(
            request_id=request_id or str(uuid.uuid4()),
            release=self.release,
            classification=classification,
            result=result,
            processing_time_ms=(time.perf_counter() - started) * 1000,
        )
        try:
            await asyncio.wrap_future(self.ledger.submit(message, outcome, idempotency))
        except ConflictError:  # the same key came twice at once, and the other was first
            if idempotency and (before := await asyncio.to_thread(self.ledger.recorded, idempotency)):
                return before
            raise
        took = (time.perf_counter() - started) * 1000
        return outcome.model_copy(update={"processing_time_ms": took})


def standard_workflows(orders: OrderLookup) -> dict[Category, Workflow]:
    """Return the three workflows with the packaged knowledge base."""
    return {
        Category.INFORMATIONAL: Informational(KnowledgeBase.open(packaged_folder())),
        Category.SERVICE_ACTION: ServiceAction(orders),
        Category.SAFETY_COMPLIANCE: SafetyCompliance(),
    }
