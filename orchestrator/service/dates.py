"""Find the days and times that a message names: "next tuesday", "the 14th", "mañana", "3pm", "in two weeks", 12/05."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from orchestrator.service.date_patterns import A_TIME, DATES, LANGUAGES
from orchestrator.service.date_values import day_of, time_of
from orchestrator.service.slot import Slot

_BORN = re.compile(r"\b(?:dob|d\.o\.b\.?|born(?: on)?|birth(?:day|date)?(?: is)?|nacid[oa](?: el)?)\W{0,3}$", re.IGNORECASE)
_PAST = re.compile(
    r"\b(?:since|last|ordered|sent|paid|bought|returned|dated|was|charged|desde|pasado)(?:\s+(?:on|the|back on|el|it))*\s*$", re.IGNORECASE
)
_AHEAD = re.compile(r"\b(?:by|before|until|till|til|to|for|para|antes de|hasta)(?:\s+(?:the|el))?\s*$", re.IGNORECASE)
_JOINT = re.compile(r"\s?(?:,|at|@|around|by|a las|after|from)?\s?", re.IGNORECASE)
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b|\d[/.-]\d{1,2}[/.-](\d\d)$")
_FAR_YEARS = 3
_CUE = 24  # characters before a date in which its tense is told


def find_dates(text: str, now: datetime, *, past: bool) -> Iterator[Slot]:
    """Yield the dates of a text, a time beside a date as part of it; no dates of birth.

    The value is ``2026-12-01``, ``2026-12-01T15:00``, or ``T15:00`` for a time alone, counted from ``now``. A day without a year or a
    week is the last one where ``past`` or the words before it say so, else the next one.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    times = [match.span() for match in A_TIME.finditer(text)]
    for language, start, end in _days(text):
        before = text[max(0, start - _CUE) : start]
        if _BORN.search(before) or _is_far(text[start:end], now):
            continue
        tense = False if _AHEAD.search(before) else past or bool(_PAST.search(before))
        value = day_of(text[start:end], language, today, past=tense)
        clock = next((span for span in times if _beside(text, (start, end), span)), None)
        if clock is None:
            yield _date(text, value, (start, end))
        else:
            times.remove(clock)
            told = time_of(text[slice(*clock)])
            yield _date(text, f"{value}T{told}" if value and told else value, (min(start, clock[0]), max(end, clock[1])))
    for span in times:
        told = time_of(text[slice(*span)])
        yield _date(text, f"T{told}" if told else None, span)


def _date(text: str, value: str | None, span: tuple[int, int]) -> Slot:
    return Slot(name="date", value=value, text=text[slice(*span)], start=span[0], end=span[1])


def _is_far(text: str, now: datetime) -> bool:
    """Say whether a date names a year that no order and no appointment is of: 1/30/44 is a date of birth."""
    year = _YEAR.search(text)
    return year is not None and abs(int(year.group(1) or f"20{year.group(2)}") - now.year) > _FAR_YEARS


def _days(text: str) -> list[tuple[str, int, int]]:
    """Return language, start and end of every day named, the longest reading of each place."""
    found: list[tuple[str, int, int]] = []
    for language in LANGUAGES:
        matches = DATES[language].finditer(text)
        found += [(language, *match.span("short" if match.groupdict().get("short") else 0)) for match in matches]
    kept: list[tuple[str, int, int]] = []
    for one in sorted(found, key=lambda item: (item[1] - item[2], item[1])):
        if all(one[2] <= other[1] or other[2] <= one[1] for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda item: item[1])


def _beside(text: str, day: tuple[int, int], clock: tuple[int, int]) -> bool:
    gap = text[day[1] : clock[0]] if day[1] <= clock[0] else text[clock[1] : day[0]]
    return bool(_JOINT.fullmatch(gap)) or gap.strip().lower() in {"on", "el", "del"}
