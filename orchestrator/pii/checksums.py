"""Numbers that carry a checksum, as ``python-stdnum`` has them: cards, IBAN, NHS numbers and national numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.numerals import WORDS as NUMBERS
from orchestrator.pii.numerals import digits_of
from orchestrator.pii.reading import Reading, Word

_IBAN = re.compile(r"(?i)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{1,4}){3,8}")
_NATIONAL = re.compile(r"(?i)\b(?:\d{8}[ -]?[a-z]|[xyz][ -]?\d{7}[ -]?[a-z]|[a-z]{2} ?\d\d ?\d\d ?\d\d ?[a-d])\b")
_LETTERS = re.compile(r"(?i)(?<![^\W_])[a-z][ .-][a-z](?![^\W_])")
_PIECE = re.compile(r"[ -]?[a-zA-Z0-9]+")


def find_ibans(reading: Reading) -> Iterator[Span]:
    """Yield the IBANs whose checksum (ISO 7064, MOD 97-10) and length hold; words that follow without a mark are left."""
    if reading.digits < 10:
        return
    for match in _IBAN.finditer(reading.text):
        ends = [piece.end() for piece in _PIECE.finditer(match.group())]
        for end in reversed(ends):
            if end >= 15 and _iban(match.group()[:end]):
                yield Span(match.start(), match.start() + end, Kind.IBAN)
                break


def find_said_ibans(reading: Reading) -> Iterator[Span]:
    """Yield IBANs said letter by letter: ``g b 5 4 h l f x 4 2 6 0 ...``."""
    if _LETTERS.search(reading.text) is None:
        return
    words, index = reading.words, 0
    while index + 10 < len(words):
        if len(words[index].text) > 1:  # begins with the letters of its country
            index += 1
            continue
        last, said = index, ""
        while last < len(words) and len(said) < 34 and (last == index or words[last].start - words[last - 1].end <= 2):
            lower = words[last].lower
            piece = digits_of([lower]) if lower in NUMBERS else lower if len(lower) == 1 or lower.isdigit() else ""
            if not piece:
                break
            said, last = said + piece, last + 1
        if last - index >= 10 and len(said) >= 15 and said[:2].isalpha():
            for shorter in range(last, index + 9, -1):
                if _iban(_said(words[index:shorter])):
                    yield Span(words[index].start, words[shorter - 1].end, Kind.IBAN)
                    last = shorter
                    break
        index = max(last, index + 1)


def find_national_numbers(reading: Reading) -> Iterator[Span]:
    """Yield Spanish DNI and NIE whose letter holds, and United Kingdom National Insurance numbers."""
    if reading.digits < 6:
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


def _said(words: Sequence[Word]) -> str:
    return "".join(digits_of([word.lower]) if word.lower in NUMBERS else word.lower for word in words)


def _national(number: str) -> bool:
    from stdnum.es import dni, nie

    compact = number.replace(" ", "").replace("-", "").upper()
    if compact[0].isdigit():
        return bool(dni.is_valid(compact))
    # HMRC, NIM39110: letters a prefix never has.
    if compact[1].isdigit():
        return bool(nie.is_valid(compact))
    return number[:2].isupper() or (compact[0] not in "DFIQUV" and compact[1] not in "DFIOQUV")
