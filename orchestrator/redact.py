"""Replace personal data by what kind of data it was: ``jo@x.org -> [EMAIL]``.

A first set of recognisers; card numbers must pass their checksum. Doses and medicine names stay.
"""

from __future__ import annotations

import re

_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\b")
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_PHONE = re.compile(r"(?<![\w-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?)?\d{2,6}(?:[ .-]\d{2,6}){1,4}(?![\w-])|(?<!\w)\+?\d{10,13}(?!\w)")
_BIRTH = re.compile(r"(?i)\b(dob|date of birth|born(?: on)?)\b\W{0,3}(\d{1,2}[/.\- ]\w{1,9}[/.\- ]\d{2,4}|\d{4}-\d{2}-\d{2})")
_ADDRESS = re.compile(
    r"\b\d{1,5}[a-z]? (?:[A-Z][\w']+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Close|Way|Court|Ct|Place|Pl|Terrace)\b\.?"
)
_NAME = re.compile(
    r"(?i:\b(?:my name is|my name's|i am|i'm|this is|regards|sincerely|thanks|cheers|mrs?|ms|miss|dr|patient)\b)[.,:]?\s+"
    r"((?:[A-Z][a-z'\u2019]+(?:-[A-Z][a-z]+)?)(?: [A-Z][a-z'\u2019-]+){0,2})"
)


def redact(text: str) -> str:
    """Return the text with e-mail addresses, phone and card numbers, and what else is known replaced."""
    text = _EMAIL.sub("[EMAIL]", text)
    text = _CARD.sub(lambda match: "[CARD]" if luhn(match.group()) else match.group(), text)
    text = _SSN.sub("[SSN]", text)
    text = _BIRTH.sub(r"\1 [DATE OF BIRTH]", text)
    text = _PHONE.sub(_phone, text)
    text = _ADDRESS.sub("[ADDRESS]", text)
    return _NAME.sub(lambda match: match.group().replace(match.group(1), "[NAME]"), text)


def luhn(number: str) -> bool:
    """Say whether a card number passes the Luhn checksum (ISO/IEC 7812-1)."""
    digits = [int(c) for c in number if c.isdigit()][::-1]
    return sum(d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits)) % 10 == 0


def _phone(match: re.Match[str]) -> str:
    return "[PHONE]" if 7 <= sum(c.isdigit() for c in match.group()) <= 15 else match.group()
