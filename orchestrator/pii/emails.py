"""E-mail addresses, written and said: ``jo@x.org``, ``john dot smith at gmail dot com``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii import numerals
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.reading import Reading

_WRITTEN = re.compile(r"[^\W_](?:[\w.+%'-]{0,63})@[^\W_][\w-]{0,62}(?:\.[\w-]{1,63}){1,4}|[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_ENDINGS = r"com|co|org|net|es|uk|edu|gov|nhs|io|me|info|ie|us|mx|ca|eu|fr|de"
_DOT = r"\s{0,2}(?:\bdot\b|\bpunto\b|\.|\(dot\)|\[dot\])\s{0,2}"
_DOMAIN = re.compile(
    rf"(?i)[\s,]{{0,3}}(?:[\w-]{{1,30}}(?:\s{{1,2}}|{_DOT})){{0,2}}[\w-]{{1,30}}{_DOT}(?:{_ENDINGS})\b(?:{_DOT}(?:uk|com|mx|ar|co)\b)?"
)
_AT = re.compile(r"(?i)[(\[]?(?:@|\b(?:at|arroba)\b)[)\]]?")
_JOINS = frozenset({"dot", "punto", "underscore", "dash", "hyphen", "guion", "guión", "bajo", "plus", "minus", "point"})
_CUES = frozenset({"is", "it's", "es", "email", "e-mail", "address", "to", "at", "on", "correo", "mail", "me"})
_MOST_WORDS = 14


def find_emails(reading: Reading) -> Iterator[Span]:
    """Yield e-mail addresses as they are written."""
    if "@" in reading.text:
        for match in _WRITTEN.finditer(reading.text):
            yield Span(match.start(), match.end(), Kind.EMAIL)


def find_said_emails(reading: Reading) -> Iterator[Span]:
    """Yield e-mail addresses said or written around the at sign: ``j dot smith at outlook dot com``."""
    if reading.holds.isdisjoint({"at", "arroba"}) and "@" not in reading.text:
        return
    if reading.holds.isdisjoint({"dot", "punto"}) and "." not in reading.text:
        return
    for at in _AT.finditer(reading.text):
        domain = _DOMAIN.match(reading.text, at.end())
        start = _local_start(reading, at.start()) if domain else None
        if domain and start is not None:
            yield Span(start, domain.end(), Kind.EMAIL)


def _local_start(reading: Reading, at: int) -> int | None:
    """Return where the part before the at sign begins: at its cue, or else with its last word and what is joined to that."""
    low, high = 0, len(reading.words)  # the words are in order: a search by halves keeps many at signs linear
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if reading.words[middle].end <= at else (low, middle)
    last = low - 1
    if last < 0 or reading.text[reading.words[last].end : at].strip(" .,"):
        return None
    for index in range(last, max(-1, last - _MOST_WORDS), -1):
        if reading.words[index].lower in _CUES:
            return reading.words[index + 1].start if index < last else None
        if index < last and set(reading.between(index, index + 1)) & set(",;:!?\n"):
            return reading.words[index + 1].start
    index = last
    while index > 0 and (
        reading.words[index].lower in _JOINS
        or reading.words[index - 1].lower in _JOINS
        or reading.words[index].lower in numerals.WORDS
        or reading.words[index].text.isdigit()
        or len(reading.words[index].text) == 1
        or reading.between(index - 1, index) in {".", "_", "-"}
    ):
        index -= 1
    return reading.words[index].start
