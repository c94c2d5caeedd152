"""Tell the day an appointment is booked for from the day that is wanted instead: "move my jab from fri to sat"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from orchestrator.service.slot import Slot

# The last cue before a date decides; without one the date is a wanted one.
_CUE = re.compile(
    r"\b(?:(?P<booked>booked|bookings?|down for|got|have an?|has an?|had|i'?m (?:supposed|due)|coming|scheduled|from|beg off"
    r"|can'?t (?:make|do|come)|cannot"
    r"|but|not an?|except|don'?t|appointment|appt|slot|my|her|his|our|mom'?s|mum'?s|tengo|tiene|cita|vacuna|jab|shot|vaccine|mmr|clinic)"
    r"|(?P<wanted>to|instead|can (?:it|i|we|u|you)|could (?:it|i|we|you)|would|any(?:thing| day| time)?|prefer\w*|ideal|or"
    r"|rather|put me|open|next available"
    r"|se puede|pasar|para|need (?:it|the)|be the|until|after|before|how about|what about))\b|(?P<arrow>->|=>)",
    re.IGNORECASE,
)
_REACH = 70  # characters before a date in which its cue stands
_AFTER = re.compile(r"(?:\s+\w+){0,2}\s*(?:instead\b|works\b|would be\b|is better\b|suits?\b|ok\b|\?)", re.IGNORECASE)
_HAS_IT = re.compile(
    r"['\u2019]?s?\s+(?:\d{1,2}[:.]\d\d\s+)?(?:appointment|appt|slot|jab|flu|shot|vaccin|booking|eye check|fit-?test|ear\b)", re.IGNORECASE
)


def told_apart(text: str, slots: Iterable[Slot]) -> Iterator[Slot]:
    """Yield the slots, a date that is the booked one under the name ``booked_date``."""
    for slot in slots:
        yield replace(slot, name="booked_date") if slot.name == "date" and _is_booked(text, slot) else slot


def _is_booked(text: str, slot: Slot) -> bool:
    if _HAS_IT.match(text, slot.end):
        return True
    if _AFTER.match(text, slot.end):
        return False
    cues = list(_CUE.finditer(text, max(0, slot.start - _REACH), slot.start))
    return bool(cues) and cues[-1].lastgroup == "booked"
