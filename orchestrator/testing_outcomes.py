"""Outcomes made to measure: what the engine would hand to the ledger, for tests and benchmarks of the store."""

from __future__ import annotations

from typing import Any

from orchestrator.schema import (
    Band,
    Category,
    Classification,
    Decision,
    NextStep,
    Outcome,
    Probabilities,
    Source,
    Usage,
    WorkflowResult,
)


def make_classification(category: Category, *, flags: tuple[str, ...] = (), review: bool = False) -> Classification:
    """Return what a classifier might say of a message, without a model behind it."""
    decision = Decision(
        category=category,
        confidence=0.95,
        band=Band.HIGH,
        review_required=review,
        routed_as_safety=category == Category.SAFETY_COMPLIANCE,
        path="made for a test",
    )
    return Classification(
        decision=decision,
        probabilities=Probabilities(**{c.value: 0.95 if c == category else 0.025 for c in Category}),
        source=Source.LOGPROB,
        calibrated=True,
        degraded=False,
        red_flags=flags,
        local_safety=0.5,
        usage=Usage(),
    )


def make_outcome(
    request_id: str,
    category: Category = Category.SAFETY_COMPLIANCE,
    *,
    severity: str = "urgent",
    review: bool = False,
    details: dict[str, Any] | None = None,
) -> Outcome:
    """Return an outcome as the engine would hand it to the ledger; ``details`` are those its workflow might give."""
    if details is None and category == Category.SAFETY_COMPLIANCE:
        details = {"compliance": {"severity": severity, "urgent": severity != "routine", "redacted_text": "[redacted]"}}
    if details is None and category == Category.SERVICE_ACTION:
        details = {"ticket": {"intent": "refund", "title": "refund: 4432", "slots": {"order_number": "4432"}}}
    result = WorkflowResult(workflow=category, next_step=NextStep(action="any", message="any", eta_minutes=60), details=details or {})
    classification = make_classification(category, review=review)
    return Outcome(request_id=request_id, release="test", classification=classification, result=result, processing_time_ms=1.0)
