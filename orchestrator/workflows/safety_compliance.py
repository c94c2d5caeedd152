"""Record a safety message, judge how urgent it is, and tell the customer what to do now."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.redact import redact
from orchestrator.schema import Category, Classification, Message, NextStep, Severity, WorkflowResult

# Rules whose firing alone means danger to life (ids of red_flags.yaml).
EMERGENCY_FLAGS = frozenset({"airway", "collapse", "overdose", "self_harm", "stroke_heart", "child_poisoning"})
_EMERGENCY = re.compile(
    r"(?i)\b(?:can'?t breathe|not breathing|unconscious|unresponsive|won'?t wake|throat (?:is )?clos|blue lips|seizure|chest pain"
    r"|overdos|kill myself|end (?:my life|it all)|collapsed|anaphyla|face (?:is )?droop)"
)
_URGENT = re.compile(
    r"(?i)\b(?:wrong (?:tablets?|pills?|medicine|dose|strength|person)|double dose|swell|swollen|faint|bleed|blood|vomit|hives"
    r"|pregnan|fever|rash|dizz|confus|blister|palpitat|severe|hospital|a&e|er\b|toddler|baby|child)"
)

STEPS: dict[Severity, tuple[str, str, int]] = {
    Severity.EMERGENCY: (
        "call_emergency_services",
        (
            "If anyone is in danger now, call your local emergency number (911, 999, 112) at once. Do not take any more of the "
            "medicine. A pharmacist has been alerted and will contact you immediately."
        ),
        5,
    ),
    Severity.URGENT: (
        "pharmacist_call_back",
        (
            "Please do not take any more of the product until you have spoken to us. A pharmacist will call you back within the "
            "hour. If you get worse, have trouble breathing or feel faint, call your local emergency number."
        ),
        60,
    ),
    Severity.ROUTINE: (
        "recorded_for_follow_up",
        (
            "Thank you for telling us. We have recorded your report, and our safety team will follow it up within one working "
            "day. If you feel unwell or get worse, contact a doctor or your local emergency number."
        ),
        1440,
    ),
}


@dataclass(frozen=True)
class SafetyCompliance:
    """Write the compliance record, flag it and put it on the escalation queue."""

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:
        """Return the record (redacted), its severity and the reviewed text for the customer."""
        severity = judge_severity(message.text, classification.red_flags)
        action, text, eta = STEPS[severity]
        record = {
            "severity": severity.value,
            "urgent": severity != Severity.ROUTINE,
            "redacted_text": redact(message.text),
            "red_flags": list(classification.red_flags),
            "to_be_confirmed": classification.decision.review_required,
        }
        step = NextStep(action=action, message=text, eta_minutes=eta)
        return WorkflowResult(workflow=Category.SAFETY_COMPLIANCE, next_step=step, details={"compliance": record})


def judge_severity(text: str, flags: tuple[str, ...]) -> Severity:
    """Return how soon a person must act, by transparent rules."""
    if EMERGENCY_FLAGS.intersection(flags) or _EMERGENCY.search(text):
        return Severity.EMERGENCY
    return Severity.URGENT if flags or _URGENT.search(text) else Severity.ROUTINE
