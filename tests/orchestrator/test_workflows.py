import pytest

from orchestrator.redact import luhn, redact


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
