"""Read a date that was found: ``"next tuesday", now -> "2026-12-01"``. The parser is dateparser; what it misreads is told it plainly."""

from __future__ import annotations

import calendar
import re
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from orchestrator.service.spoken import number

_ORDINALS = {
    name: n
    for n, name in enumerate(
        ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth",
         "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth"), start=1)
} | {"thirtieth": 30}  # fmt: skip
_SAID = re.compile(rf"(?:(twenty|thirty)[ -])?\b({'|'.join(_ORDINALS)})\b")
# What the parser does not know, in words that it does. Misspellings are those customers write.
_PLAINLY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\b(?:this coming|coming|the following|following) ", "next "),
        (r"\b(?:morning|afternoon|evening|night|nite)\b|\b(?:en|por) la (?:tarde|mañana|noche)\b", ""),
        (r"\bwe[nd]n?[ed]*sday", "wednesday"), (r"\bthurday", "thursday"), (r"\bteusday", "tuesday"), (r"\bsata?r?day", "saturday"),
        (r"\b(mon|tues|wednes|thurs|fri|satur|sun)days\b", r"\1day"), (r"\bweds\b", "wed"), (r"\bthurs?\b", "thu"), (r"\btue[s]?\b", "tue"),
        (r"\b(?:tomoz|tmrw?|2moro)\b", "tomorrow"), (r"\b(?:tonight|tonite)\b", "today"), (r"^last $", "yesterday"), (r"^this $", "today"),
        (r"\bwks?\b", "weeks"), (r"\bmths?\b", "months"), (r"\b(?:a )?couple of\b", "two"), (r"'?s? time$", ""), (r"\bback$", "ago"),
        (r" from (?:now|today)$", ""), (r"^the ", ""), (r"(\d)\s(st|nd|rd|th)\b", r"\1\2"), (r"\b(?:el )?día (\d)", r"\1"), (r"^el ", ""),
        (r"\bhace como\b", "hace"), (r"\bque viene\b|\bpróximo\b", ""), (r"^este ", ""), (r"\bdentro de\b", "en"),
    )
)  # fmt: skip
_MONTHS = 3  # any three in a row have a 31st among them
_MONTHS_NAMED = frozenset(calendar.month_name[n].lower() for n in range(1, 13))
_COUNTS_ES = {
    name: str(n) for n, name in enumerate(("dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"), start=2)
} | {"quince": "15"}
# These name a span of days or need another date to start from; no one day is meant.
_NO_ONE_DAY = re.compile(
    r"\bweek|\bwk\b|(?:next|last|this) (?:month|munth|year)|day after|month after|\bend of\b|semana (?:que|pr|pas)"
    r"|próxima semana|\bel mes\b|\bfew\b|^every |christmas$|easter|thanksgiving|new year"
)
_SLASHED = re.compile(r"(\d{1,2})[/.-](\d{1,2})(?:[/.-]\d{2,4})?")
_HOURS = {
    name: n
    for n, name in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), start=1)
} | {
    name: n
    for n, name in enumerate(("una", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce"), start=1)
}


def day_of(text: str, language: str, today: datetime, *, past: bool) -> str | None:
    """Return the ISO 8601 date that a text names, seen from ``today``; None where it names no one day."""
    plain = _plainly(text.lower())
    if re.search(r"\b(?:in|ago|en|hace|\d+-\d+-\d+)\b", plain) is None and _NO_ONE_DAY.search(plain):
        return None
    if re.match(r"[a-z]+(?: (?:to|-|until|till|through) [a-z]+)?$", plain) and plain.split()[0] in _MONTHS_NAMED:
        return None
    if (slashed := _SLASHED.fullmatch(plain)) and _is_ambiguous(*slashed.groups()):
        return None
    if day := re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)?", plain):
        return _day_of_month(int(day.group(1)), today, past=past)
    return _parsed(plain, language, today, past)


def _day_of_month(day: int, today: datetime, *, past: bool) -> str | None:
    """Return the nearest such day in the direction wanted, today included; months that have none are passed over."""
    first = today.replace(day=1)
    for _ in range(_MONTHS):
        with suppress(ValueError):
            found = first.replace(day=day)
            if (found <= today) if past else (found >= today):
                return found.date().isoformat()
        first = (first - timedelta(days=1)).replace(day=1) if past else (first + timedelta(days=32)).replace(day=1)
    return None


def time_of(text: str) -> str | None:
    """Return a time of day as HH:MM: as it is on a clock of 24 hours where am or pm is said, else None."""
    words = (
        re.sub(r"^(?:any ?time )?(?:after|around|by like|by about|a las) ", "", text.lower())
        .replace(".", ":")
        .replace(" ", "")
        .replace("a:m:", "am")
        .replace("p:m:", "pm")
    )
    if words in {"noon", "midday", "mediodía", "mediodia"}:
        return "12:00"
    match = re.fullmatch(r"(\d{1,2}|[a-z]+?)(?::(\d{2}))?(am|pm)?", words)
    if not match:
        return None
    named, minutes, half = match.groups()
    hour = int(named) if named.isdigit() else _HOURS.get(named, 99)
    if half and 1 <= hour <= 12:
        return f"{hour % 12 + 12 * (half == 'pm'):02d}:{minutes or '00'}"
    is_of_24_hours = minutes is not None and (hour >= 13 or named.startswith("0")) and hour < 24
    return f"{hour:02d}:{minutes}" if is_of_24_hours else None


def forget() -> None:
    """Forget the dates that were read; for measuring."""
    _parsed.cache_clear()


def _plainly(text: str) -> str:
    text = " ".join(text.split())
    for pattern, plain in _PLAINLY:
        text = pattern.sub(plain, text)
    if match := _SAID.search(text):
        day = (number(match.group(1)) if match.group(1) else 0) + _ORDINALS[match.group(2)]
        text = text[: match.start()] + str(day) + re.sub(r" of the month", "", text[match.end() :])
    text = re.sub(r"\b[a-z]+\b", lambda match: _COUNTS_ES.get(match.group(), match.group()), text)
    return text.replace(" of ", " ").strip()


def _is_ambiguous(first: str, second: str) -> bool:
    """Say whether 12/05 may be the 12th of May as well as the 5th of December: who writes is not asked where they live."""
    return int(first) <= 12 and int(second) <= 12 and int(first) != int(second)


@lru_cache(maxsize=4096)  # customers name the same weekdays all day long, and the parser takes about a millisecond
def _parsed(plain: str, language: str, today: datetime, past: bool) -> str | None:  # noqa: FBT001  # the cache tells calls apart by position
    found = _parser(language, today, past).get_date_data(plain).date_obj
    return found.date().isoformat() if found else None


@lru_cache(maxsize=8)  # a parser is of one day
def _parser(language: str, today: datetime, past: bool) -> Any:  # noqa: FBT001  # as above
    data = _dateparser()
    settings = {"RELATIVE_BASE": today, "PREFER_DATES_FROM": "past" if past else "future", "RETURN_AS_TIMEZONE_AWARE": False,
                "PARSERS": ["relative-time", "absolute-time"]}  # fmt: skip
    return data(languages=[language], settings=settings)


@cache
def _dateparser() -> Any:
    from dateparser.date import DateDataParser  # type: ignore[import-untyped]  # no types are published for it

    return DateDataParser
