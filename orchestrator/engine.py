"""The orchestrator: ``Message -> Outcome``. Classify, run the category's workflow, record both."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from orchestrator.classify import Classifier
from orchestrator.deadline import RECORDING_S, Punctual, time_limit
from orchestrator.errors import ConflictError
from orchestrator.knowledge_base import KnowledgeBase, packaged_folder
from orchestrator.manipulation import distrusted
from orchestrator.resilience import ResilientLLM
from orchestrator.rollout.releases import Releases
from orchestrator.rollout.serving import Serving
from orchestrator.schema import Category, Classification, FailureKind, Message, Outcome, WorkflowResult
from orchestrator.store.ledger import Idempotency, Ledger
from orchestrator.turns import InTurn
from orchestrator.workflows.base import Workflow
from orchestrator.workflows.informational import Informational
from orchestrator.workflows.safety_compliance import SafetyCompliance
from orchestrator.workflows.service_action import OrderLookup, ServiceAction

# Of their own, and as many as the order system has connections: one that hangs must not take the threads that the store needs.
_LOOKUPS = ThreadPoolExecutor(32, thread_name_prefix="lookup")


@dataclass(frozen=True)
class Orchestrator:
    """A classifier, three workflows and the ledger. Where there are ``releases``, they choose the classifier of each message."""

    release: str
    classifier: Classifier
    workflows: Mapping[Category, Workflow]
    ledger: Ledger
    releases: Releases | None = None

    @property
    def serving_release(self) -> str:
        """The id of the release that answers now."""
        return self.releases.active.release if self.releases else self.release

    @property
    def llm(self) -> ResilientLLM | None:
        """The LLM that answers now, for what a service shows of it; None where it is asked without resilience."""
        asked = (self.releases.active.classifier if self.releases else self.classifier).llm
        while isinstance(asked, InTurn | Punctual):
            asked = asked.inner
        return asked if isinstance(asked, ResilientLLM) else None

    async def handle(
        self,
        message: Message,
        *,
        request_id: str | None = None,
        idempotency: Idempotency | None = None,
        deadline_s: float | None = None,
        client: str | None = None,
    ) -> Outcome:
        """Handle one message. When this returns, the outcome is durably recorded.

        It has ``deadline_s`` seconds: the LLM gets what is left of them but for the recording, and when it has not answered by then the
        answer is degraded, never missing. A ``client`` is always answered by the same release while a canary runs; without one each
        request is drawn by itself. A repeated idempotency key gets the outcome it got before, and nothing is done twice. Raises
        ``ConflictError`` when the key was used for another request, and ``StoreUnavailableError`` when the store takes nothing: then the
        same request may be made again.
        """
        started = time.perf_counter()
        if idempotency and (before := await asyncio.to_thread(self.ledger.recorded, idempotency)):
            return before
        request_id = request_id or str(uuid.uuid4())
        left_s = None if deadline_s is None else deadline_s - (time.perf_counter() - started) - RECORDING_S
        with self._serving(client or request_id) as serving, time_limit(left_s, FailureKind.DEADLINE):
            classification = distrusted(message.text, await serving.classifier(message))
        workflow = self.workflows[classification.decision.category]
        result = await _in_thread(workflow, message, classification) if workflow.blocking else workflow(message, classification)
        outcome = Outcome(
            request_id=request_id,
            release=serving.release,
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
        if self.releases:
            self.releases.after(message, outcome)
        took = (time.perf_counter() - started) * 1000
        return outcome.model_copy(update={"processing_time_ms": took})

    def _serving(self, client: str) -> Serving:
        """Choose the release of a message: here, and nowhere else."""
        return self.releases.pick(client) if self.releases else self._only

    @cached_property
    def _only(self) -> Serving:
        return Serving(self.release, self.classifier)


async def _in_thread(workflow: Workflow, message: Message, classification: Classification) -> WorkflowResult:
    return await asyncio.get_running_loop().run_in_executor(_LOOKUPS, workflow, message, classification)


def standard_workflows(orders: OrderLookup) -> dict[Category, Workflow]:
    """Return the three workflows with the packaged knowledge base."""
    return {
        Category.INFORMATIONAL: Informational(KnowledgeBase.open(packaged_folder())),
        Category.SERVICE_ACTION: ServiceAction(orders),
        Category.SAFETY_COMPLIANCE: SafetyCompliance(),
    }
