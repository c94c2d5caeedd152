"""Dates of birth: dates after a cue such as ``dob``, and dates right after a name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrator.pii import numerals
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import words_of
from orchestrator.pii.reading import Reading

MONTHS = words_of(
    "jan january feb february mar march apr april may jun june jul july aug august sep sept september oct october nov november dec"
    " december ene enero febrero marzo abr abril mayo junio julio ago agosto septiembre setiembre octubre noviembre dic diciembre"
)
_ORDINALS = words_of(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth"
    " seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third thirtieth thirty-first primero"
)
_JOINS = frozenset({"of", "the", "de", "del", "y", "and", "mil", "dos"})
_NUMERAL = re.compile(r"\d{1,4}(?:st|nd|rd|th|º)?")
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_WRITTEN = re.compile(
    rf"(?i)\b(?:\d{{1,2}}[/.-]\d{{1,2}}[/.-](?:\d{{4}}|\d{{2}})|\d{{4}}[/.-]\d{{1,2}}[/.-]\d{{1,2}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[ -](?:of |de )?(?:{_MONTH})\.?,?[ -](?:de |del )?\d{{2,4}}"
    rf"|(?:{_MONTH})\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{2,4}})\b"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_CUES = words_of("dob born birth birthday bday birthdate nacido nacida nací naci nacimiento nació nacio nac cumpleaños")
_GAP_WORDS = 7  # words between a cue and its date: "my birthday on your file is wrong, it should be"
_NEAR = 4  # characters between a name and its date
_MOST_WORDS = 12  # words of a date: "twenty second of october nineteen hundred and forty seven"


def find_births(reading: Reading) -> Iterator[Span]:
    """Yield dates after the words that speak of a birth: ``dob 4/2/57``, ``born twenty second of october nineteen forty seven``."""
    words = reading.words
    for index, word in enumerate(words):
        parts = word.lower.removesuffix("'s")
        # "d.o.b." is three words of one letter
        if parts in _CUES or (parts == "b" and index > 1 and words[index - 1].lower == "o" and words[index - 2].lower == "d"):
            for first in range(index + 1, min(len(words), index + 1 + _GAP_WORDS)):
                last = _date_end(reading, first)
                if last:
                    yield Span(words[first].start, words[last - 1].end, Kind.DOB)
                    break
                if words[first].lower in _CUES:
                    break


def find_dates_of(reading: Reading, names: Sequence[Span]) -> Iterator[Span]:
    """Yield full dates that follow or precede a name with nothing but punctuation between: ``Wilma Sutter 1/30/44``."""
    if not reading.digits or not names:
        return
    starts, ends = {name.start for name in names}, {name.end for name in names}
    for match in _WRITTEN.finditer(reading.text):
        near = reading.text[max(0, match.start() - _NEAR) : match.start()]
        before = match.start() - len(near) + len(near.rstrip(" ,(-:\n"))
        beyond = reading.text[match.end() : match.end() + _NEAR]
        after = match.end() + len(beyond) - len(beyond.lstrip(" ,)-"))
        if before in ends or after in starts:
            yield Span(match.start(), match.end(), Kind.DOB)


def _date_end(reading: Reading, first: int) -> int | None:
    """Return the position after the last word of the date that begins with a word, None where none does."""
    written = _WRITTEN.match(reading.text, reading.words[first].start)
    if written:
        last = first
        while last < len(reading.words) and reading.words[last].start < written.end():
            last += 1
        return last
    last, numbers, months = first, 0, 0
    while last < min(len(reading.words), first + _MOST_WORDS) and not (last > first and _parted(reading, last)):
        lower = reading.words[last].lower
        if lower in MONTHS:
            months += 1
        elif _NUMERAL.fullmatch(lower) or lower in numerals.WORDS or lower in _ORDINALS or _is_compound(lower):
            numbers += 1
            if _YEAR.fullmatch(lower):
                last += 1
                break
        elif last == first or lower not in _JOINS:
            break
        last += 1
    while last > first and reading.words[last - 1].lower in {"of", "the", "de", "del", "y", "and"}:
        last -= 1
    whole = reading.text[reading.words[first].start : reading.words[last - 1].end] if last > first else ""
    if (months and numbers) or numbers >= 3 or _YEAR.fullmatch(whole) or re.fullmatch(r"\d{6}|\d{8}", whole):
        return last
    return None


def _parted(reading: Reading, position: int) -> bool:
    return bool(reading.between(position - 1, position).strip(" ,./-\u00a0"))


def _is_compound(word: str) -> bool:
    return "-" in word and all(
        part in numerals.WORDS or part in _ORDINALS or part in MONTHS or _NUMERAL.fullmatch(part) for part in word.split("-")
    )
