"""A slot: one thing that a message names and a ticket needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

SlotName = Literal["order_number", "date", "booked_date", "amount", "medicine"]
SLOT_NAMES: tuple[SlotName, ...] = get_args(SlotName)


@dataclass(frozen=True, slots=True)
class Slot:
    """What was named, as the customer wrote it and where; ``text == message[start:end]``.

    ``value`` is the normalised form: an order number in capitals, an ISO 8601 date, a decimal amount and its currency, a medicine's
    name. It is None where the text names no one thing ("12/05", "the week after"): a person must ask.
    """

    name: SlotName
    value: str | None
    text: str
    start: int
    end: int

    def as_json(self) -> dict[str, Any]:
        """Return the slot as it is stored in a ticket, without its name."""
        return {key: value for key, value in asdict(self).items() if key != "name"}
