"""Record a safety message, judge how urgent it is, and tell the customer what to do now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.next_steps import load_templates, next_step
from orchestrator.redact import redact
from orchestrator.schema import Category, Classification, Message, Severity, WorkflowResult
from orchestrator.severity import judge, judge_severity, load_model, load_policy

__all__ = ["SafetyCompliance", "judge_severity"]


@dataclass(frozen=True)
class SafetyCompliance:
    """Write the compliance record, flag it and put it on the escalation queue."""

    blocking: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Read the files now: one that is broken stops the start of a service and not its first emergency."""
        load_policy()
        load_model()
        load_templates()

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:
        """Return the record (redacted), its severity with the reasons, and the reviewed text for the customer."""
        flags = classification.red_flags
        judged = judge(message.text, flags)
        record = {
            "severity": judged.severity.value,
            "urgent": judged.severity != Severity.ROUTINE,
            "reasons": list(judged.reasons),
            "severity_probabilities": {name.value: round(share, 4) for name, share in judged.probabilities.items()},
            "redacted_text": redact(message.text),
            "red_flags": list(flags),
            "to_be_confirmed": classification.decision.review_required,
        }
        step = next_step(message.text, judged.severity, flags)
        return WorkflowResult(workflow=Category.SAFETY_COMPLIANCE, next_step=step, details={"compliance": record})
