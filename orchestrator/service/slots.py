"""Find what a ticket needs in a message: order numbers, dates, amounts and medicines, each where it stands."""

from __future__ import annotations

from datetime import datetime

from orchestrator.service.amounts import find_amounts
from orchestrator.service.appointments import told_apart
from orchestrator.service.dates import find_dates
from orchestrator.service.intents import Intent
from orchestrator.service.medicines import find_medicines
from orchestrator.service.order_numbers import find_order_numbers, order_key
from orchestrator.service.slot import Slot

_OF_THINGS_DONE = frozenset({Intent.TRACK_ORDER, Intent.REFUND, Intent.BILLING, Intent.COMPLAINT})  # their days are past ones
MOST_CHARACTERS = 6_000  # what a ticket needs stands before; the time of a call stays bounded


def find_slots(text: str, now: datetime, intent: Intent = Intent.OTHER) -> tuple[Slot, ...]:
    """Return the slots of a text in order of name, then place; an order number or a medicine named twice comes once.

    A date is counted from ``now`` (local time), backwards where the intent is about something done. Where an appointment is to be moved,
    the date it is booked for is told from the one wanted.
    """
    text = text[:MOST_CHARACTERS]
    orders = list(find_order_numbers(text))
    amounts = [slot for slot in find_amounts(text) if not _within(slot, orders)]
    numbers = orders + amounts
    dates = [slot for slot in find_dates(text, now, past=intent in _OF_THINGS_DONE) if not _within(slot, numbers)]
    if intent is Intent.RESCHEDULE:
        dates = list(told_apart(text, dates))
    found = [*orders, *amounts, *dates, *find_medicines(text)]
    once: dict[tuple[str, str | int], Slot] = {}
    for slot in found:
        once.setdefault((slot.name, _identity(slot)), slot)
    return tuple(sorted(once.values(), key=lambda slot: (slot.name, slot.start)))


def warm_up() -> None:
    """Load what the first message would wait for: the date parser in both languages and the names of medicines."""
    for text in ("next tuesday", "el martes", "levothyroxin"):
        find_slots(text, datetime(2000, 1, 3))  # noqa: DTZ001  # any day does


def _within(slot: Slot, others: list[Slot]) -> bool:
    return any(slot.start < other.end and other.start < slot.end for other in others)


def _identity(slot: Slot) -> str | int:
    """Return what makes two slots of a name the same: two equal charges and two unresolved dates are two."""
    if slot.name == "order_number":
        return order_key(slot.value or slot.text)
    return slot.value if slot.name == "medicine" and slot.value else slot.start
