"""Postal addresses of the United Kingdom, the United States and Spain: street, flat, town, state and postcode as one span."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii import address_words as aw
from orchestrator.pii.address_tail import after_said_postcode, end_of_address
from orchestrator.pii.births import MONTHS
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import is_clearly_given, is_medicine, is_plain
from orchestrator.pii.reading import Reading

_STATE_ZIP = re.compile(r"\b([A-Z]{2})\.?,? (\d{5}(?:-\d{4})?)(?![\d-])")
_BOX = re.compile(r"(?i)\b(?:p\.? ?o\.? box|apartado(?: de correos)?) \d{1,6}\b")
_ZIP_CUE = re.compile(
    r"(?i)\b(?:zip(?: code)?|post ?code|código postal|codigo postal|c\.p\.|cp)[ :,]{1,3}(?:(?:is|es|it's|el)[ :]{1,2}){0,2}"
    r"(\d{5}(?:-\d{4})?)\b"
)
_SAID_CUES = frozenset({"postcode", "postcode's", "zip", "code", "postal"})
_MOST_HOUSE = 4  # words of a house's name
_MOST_WORDS = 5  # of a street's name


def find_addresses(reading: Reading) -> Iterator[Span]:
    """Yield addresses; overlapping ones are left to the caller."""
    if not reading.holds.isdisjoint(aw.TYPES):
        yield from _streets(reading)
    if not reading.holds.isdisjoint(aw.SPANISH) or ("c" in reading.holds and "/" in reading.text):
        yield from _spanish(reading)
    if not reading.holds.isdisjoint(_SAID_CUES):
        yield from _said_postcodes(reading)
    if not reading.digits:
        return
    for match in aw.POSTCODE.finditer(reading.text):
        yield Span(_back(reading, match.start()), match.end(), Kind.ADDRESS)
    for match in _STATE_ZIP.finditer(reading.text):
        if match.group(1).lower() in aw.STATES:
            yield Span(_back(reading, match.start()), match.end(), Kind.ADDRESS)
    for match in _BOX.finditer(reading.text):
        yield Span(match.start(), end_of_address(reading, aw.word_at(reading, match.end())), Kind.ADDRESS)
    for match in _ZIP_CUE.finditer(reading.text):
        yield Span(match.start(1), match.end(1), Kind.ADDRESS)


def _said_postcodes(reading: Reading) -> Iterator[Span]:
    """Yield postcodes after the word, letter by letter or as they are written: ``my postcode's l s 1 4 d p``."""
    words = reading.words
    for index, word in enumerate(words):
        if word.lower not in _SAID_CUES:
            continue
        for first in range(index + 1, min(len(words), index + 4)):
            last = after_said_postcode(reading, first)
            if last:
                yield Span(words[first].start, words[last - 1].end, Kind.ADDRESS)
                break


def _streets(reading: Reading) -> Iterator[Span]:
    """Yield number, name and type of a street with what follows: ``12 Hollow Oak Road, Leeds LS1 4DP``."""
    words = reading.words
    for index, word in enumerate(words):
        if word.lower not in aw.TYPES or index == 0:
            continue
        if index + 1 < len(words) and words[index + 1].lower in aw.TYPES and reading.between(index, index + 1) == " ":
            continue  # "Hyde Park Road": the later word is the type
        first = index - 1
        while first > max(-1, index - 1 - _MOST_WORDS) and not aw.is_number(words[first].lower) and _streetlike(reading, first):
            first -= 1
        if first < 0 or not aw.is_number(words[first].lower) or first == index - 1 or not _same_line(reading, first, index):
            continue
        if not all(words[k].text[:1].isupper() for k in range(first + 1, index)) and (
            word.lower in aw.LIKELY and any(is_plain(words[k].lower) for k in range(first + 1, index))
        ):
            continue
        while (
            first > 0 and aw.is_said(words[first - 1].lower) and aw.is_said(words[first].lower) and reading.between(first - 1, first) == " "
        ):
            first -= 1
        yield Span(_unit_before(reading, first), end_of_address(reading, index + 1), Kind.ADDRESS)


def _spanish(reading: Reading) -> Iterator[Span]:
    """Yield Spanish streets, whose number comes last: ``calle Mayor 12, 2.º izquierda, 28013 Madrid``."""
    words = reading.words
    for index, word in enumerate(words):
        if word.lower not in aw.SPANISH and not (word.lower == "c" and reading.text[word.end : word.end + 1] == "/"):
            continue
        last = index + 1
        while last < min(len(words), index + 2 + _MOST_WORDS) and not aw.is_number(words[last].lower):
            last += 1
        if last < len(words) and aw.is_number(words[last].lower) and last > index + 1 and _same_line(reading, index, last):
            yield Span(_unit_before(reading, index), end_of_address(reading, last + 1), Kind.ADDRESS)


def _back(reading: Reading, start: int) -> int:
    """Return where the address begins that ends in a postcode: back over capitalised words, numbers and commas on one line."""
    index = aw.word_at(reading, start) - 1
    begin, steps = start, 0
    while index >= 0 and steps < 14 and aw.is_near(reading.text[reading.words[index].end : begin]):
        word = reading.words[index]
        if is_clearly_given(word.lower) and "," in reading.text[word.end : begin]:
            break  # "send it to Wilma, Croft 6"
        if is_medicine(word.lower) or not (
            word.text[:1].isupper() or aw.NUMBER.fullmatch(word.lower) or word.lower in aw.PARTICLES | aw.TYPES | aw.UNITS
        ):
            break
        if is_plain(word.lower) and word.lower not in aw.TYPES | aw.UNITS | aw.SIDES | aw.PARTICLES and not word.text[:1].isupper():
            break
        begin, index, steps = word.start, index - 1, steps + 1
    while (
        index + 1 < len(reading.words)
        and reading.words[index + 1].start < start
        and reading.words[index + 1].lower in aw.PARTICLES - {"the", "la", "el"}
    ):
        index += 1
        begin = reading.words[index + 1].start if index + 1 < len(reading.words) else start
    return min(begin, start)


def _unit_before(reading: Reading, first: int) -> int:
    """Return where the address begins, a flat or a house's name before its number or street included."""
    words = reading.words
    for unit in (first - 1, first - 2):
        if unit >= 0 and words[unit].lower in aw.UNITS - {"no", "number"} and aw.is_near(reading.between(first - 1, first)):
            return words[unit].start
    if first == 0 or reading.between(first - 1, first) != ", " or not words[first - 1].text[0].isupper():
        return words[first].start
    house = first - 1
    while house > 0 and first - house < _MOST_HOUSE and words[house - 1].text[0].isupper() and reading.between(house - 1, house) == " ":
        house -= 1
    named = words[house].lower == "the" or words[first - 1].lower in aw.HOUSES
    return words[house if named else first].start


def _streetlike(reading: Reading, index: int) -> bool:
    word = reading.words[index]
    if word.lower in MONTHS:
        return False
    if word.text[:1].isupper() or word.lower in aw.SIDES | {"saint", "st", "old", "new", "high", "church", "station", "mill", "main"}:
        return True
    return word.lower not in aw.NEVER and "'" not in word.lower and not is_medicine(word.lower) and len(word.lower) > 1


def _same_line(reading: Reading, first: int, last: int) -> bool:
    between = reading.text[reading.words[first].end : reading.words[last].start]
    return not set(between) & set("\n;!?:")
