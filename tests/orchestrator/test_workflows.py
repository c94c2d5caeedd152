import pytest

from orchestrator.redact import luhn, redact
from orchestrator.schema import Band, Category, Classification, Decision, Message, Probabilities, Severity, Source, Usage
from orchestrator.workflows.safety_compliance import SafetyCompliance, judge_severity


def classified(category: Category, *, flags: tuple[str, ...] = (), review: bool = False) -> Classification:
    decision = Decision(
        category=category, confidence=0.8, band=Band.MODERATE, review_required=review, routed_as_safety=bool(flags), path="test"
    )
    return Classification(
        decision=decision,
        probabilities=Probabilities(informational=0.1, service_action=0.1, safety_compliance=0.8),
        source=Source.LOGPROB,
        calibrated=True,
        degraded=False,
        red_flags=flags,
        local_safety=0.5,
        usage=Usage(),
    )


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("she can't breathe after the nut tablets", Severity.EMERGENCY),
        ("I was given the wrong tablets", Severity.URGENT),
        ("a slight metallic taste since starting it", Severity.ROUTINE),
    ],
)
def test_severity_by_transparent_rules(text, severity):
    assert judge_severity(text, ()) == severity


def test_an_emergency_is_told_to_call_first_and_the_record_is_redacted():
    message = Message(text="can't breathe. Reach me on 07700 900123 or jo@example.org")
    result = SafetyCompliance()(message, classified(Category.SAFETY_COMPLIANCE, flags=("airway",), review=True))
    record = result.details["compliance"]
    assert "emergency number" in result.next_step.message
    assert record["urgent"]
    assert "jo@example.org" not in str(record)
    assert "900123" not in str(record)
    assert record["to_be_confirmed"]


@pytest.mark.parametrize(
    ("text", "hidden", "kept"),
    [
        ("write to jo.smith@example.co.uk", "jo.smith", "[EMAIL]"),
        ("card 4111 1111 1111 1111 please", "4111", "[CARD]"),
        ("ssn 123-45-6789", "6789", "[SSN]"),
        ("call +44 7700 900123", "900123", "[PHONE]"),
        ("dob 04/02/1957", "1957", "[DATE OF BIRTH]"),
        ("I live at 12 Hollow Oak Road", "Hollow", "[ADDRESS]"),
        ("My name is Sheila Ogden", "Ogden", "[NAME]"),
        ("took metformin 500 mg twice, 10 tablets", "nothing hidden", "metformin 500 mg twice, 10 tablets"),
    ],
)
def test_redaction(text, hidden, kept):
    redacted = redact(text)
    assert hidden not in redacted
    assert kept in redacted


def test_luhn():
    assert luhn("4111 1111 1111 1111")
    assert not luhn("4111 1111 1111 1112")
