"""Numbers that carry a checksum, as ``python-stdnum`` has them: cards, IBAN, NHS numbers and national numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.reading import Reading

_IBAN = re.compile(r"(?i)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{1,4}){3,8}")
_NATIONAL = re.compile(r"(?i)\b(?:\d{8}[ -]?[a-z]|[xyz][ -]?\d{7}[ -]?[a-z]|[a-z]{2} ?\d\d ?\d\d ?\d\d ?[a-d])\b")
_PIECE = re.compile(r"[ -]?[a-zA-Z0-9]+")


def find_ibans(reading: Reading) -> Iterator[Span]:
    """Yield the IBANs whose checksum (ISO 7064, MOD 97-10) and length hold; words that follow without a mark are left."""
    if not reading.has_digit:
        return
    for match in _IBAN.finditer(reading.text):
        ends = [piece.end() for piece in _PIECE.finditer(match.group())]
        for end in reversed(ends):
            if end >= 15 and _iban(match.group()[:end]):
                yield Span(match.start(), match.start() + end, Kind.IBAN)
                break


def find_national_numbers(reading: Reading) -> Iterator[Span]:
    """Yield Spanish DNI and NIE whose letter holds, and United Kingdom National Insurance numbers."""
    if not reading.has_digit:
        return
    for match in _NATIONAL.finditer(reading.text):
        if _national(match.group()):
            yield Span(match.start(), match.end(), Kind.SSN)


def is_card(digits: str) -> bool:
    """Say whether 13 to 19 digits begin like a payment card and pass the Luhn checksum (ISO/IEC 7812-1)."""
    from stdnum import luhn

    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def is_nhs(digits: str) -> bool:
    """Say whether ten digits pass the modulus 11 check of NHS numbers (NHS Data Dictionary)."""
    from stdnum.gb import nhs

    return len(digits) == 10 and bool(nhs.is_valid(digits))


@lru_cache(maxsize=1024)
def _iban(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number, check_country=False))


def _national(number: str) -> bool:
    from stdnum.es import dni, nie

    compact = number.replace(" ", "").replace("-", "").upper()
    if compact[0].isdigit():
        return bool(dni.is_valid(compact))
    # HMRC, NIM39110: letters a prefix never has.
    return bool(nie.is_valid(compact)) if compact[1].isdigit() else compact[0] not in "DFIQUV" and compact[1] not in "DFIOQUV"
