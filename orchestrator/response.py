"""The answer to a message as the world sees it: the same JSON over HTTP and on the command line."""

from __future__ import annotations

from typing import Any

from orchestrator.schema import Band, Category, NextStep, Outcome, Probabilities, Record


class ClassifyResponse(Record):
    """How a message was classified and what happens next."""

    request_id: str
    category: Category
    confidence: float
    decision_path: str
    next_step: NextStep
    processing_time_ms: float
    probabilities: Probabilities
    band: Band
    review_required: bool
    calibrated: bool
    degraded: bool
    release: str
    workflow: dict[str, Any]

    @classmethod
    def of(cls, outcome: Outcome) -> ClassifyResponse:
        """Return the response for an outcome."""
        classification, decision = outcome.classification, outcome.classification.decision
        return cls(
            request_id=outcome.request_id,
            category=decision.category,
            confidence=decision.confidence,
            decision_path=decision.path,
            next_step=outcome.result.next_step,
            processing_time_ms=outcome.processing_time_ms,
            probabilities=classification.probabilities,
            band=decision.band,
            review_required=decision.review_required,
            calibrated=classification.calibrated,
            degraded=classification.degraded,
            release=outcome.release,
            workflow=outcome.result.details,
        )
