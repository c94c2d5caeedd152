"""Prepare a ticket: what is wanted (intent), about which order (slots), and where the order stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from orchestrator.schema import Category, Classification, Message, NextStep, WorkflowResult


class Intent(StrEnum):
    """What a customer wants done."""

    TRACK_ORDER = "track_order"
    REFUND = "refund"
    CANCEL = "cancel"
    REFILL = "refill"
    CHANGE_ACCOUNT = "change_account"
    RESCHEDULE = "reschedule"
    BILLING = "billing"
    COMPLAINT = "complaint"
    OTHER = "other"


# In order of precedence: the first that matches wins.
_SIGNS: tuple[tuple[Intent, re.Pattern[str]], ...] = tuple(
    (intent, re.compile(rf"\b(?:{pattern})", re.IGNORECASE))
    for intent, pattern in (
        (Intent.CANCEL, r"cancel|call off|stop (?:the|my) (?:order|auto|subscription|deliver)|cancelar"),
        (Intent.REFUND, r"refund|money back|reimburse|return (?:the|this|my|it)|send (?:it )?back|reembolso"),
        (Intent.RESCHEDULE, r"reschedul|appointment|appt|booking|book (?:me|a)|slot|move my|cita"),
        (Intent.BILLING, r"charged?|bill(?:ed|ing)?\b|invoice|co-?pay|payment|double.?charge|overcharg|receipt|cobr"),
        (Intent.TRACK_ORDER, r"where(?:'?s| is) my|track|parcel|package|deliver|courier|shipped|shipping|not (?:here|arrived)|pedido"),
        (Intent.REFILL, r"refill|repeat|renew|prescription|script|run(?:ning)? (?:out|low)|receta"),
        (Intent.CHANGE_ACCOUNT, r"address|account|password|log ?in|e-?mail|phone number|profile|update my|change my|cuenta"),
        (Intent.COMPLAINT, r"complain|complaint|rude|disgrace|unacceptable|manager|worst|fed up|queja"),
    )
)
_ORDER = re.compile(
    r"(?i)\b(?:order|ord|po|ref(?:erence)?|rx|pedido)\b[\s.:#-]*(?:no|number|num|n[uú]mero)?[\s.:#-]*([a-z]{0,4}-?\d[\d-]{2,14})|#\s?([a-z]{0,4}-?\d[\d-]{2,14})"
)
_AMOUNT = re.compile(r"[$£€]\s?\d+(?:[.,]\d{2})?|\b\d+(?:[.,]\d{2})? ?(?:dollars|pounds|euros|quid|bucks)\b", re.IGNORECASE)


class OrderLookup(Protocol):
    """The port to the order system."""

    def __call__(self, order_number: str, /) -> dict[str, Any] | None:
        """Return what is known of an order, or None."""
        ...


@dataclass(frozen=True)
class LocalOrders:
    """Orders held in memory: the adapter until a real system is connected."""

    orders: dict[str, dict[str, Any]]

    def __call__(self, order_number: str, /) -> dict[str, Any] | None:
        """Return the order, or None."""
        return self.orders.get(order_number)


@dataclass(frozen=True)
class ServiceAction:
    """Prepare a ticket from the intent and the slots found in the message."""

    orders: OrderLookup

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:  # noqa: ARG002  # as all workflows
        """Return the ticket to open and, where needed, the question to ask."""
        intent = find_intent(message.text)
        slots = find_slots(message.text)
        order = self.orders(slots["order_number"]) if "order_number" in slots else None
        ticket = {
            "intent": intent.value,
            "title": f"{intent.value.replace('_', ' ')}: {slots.get('order_number', 'no order number')}",
            "slots": slots,
            "order": order,
        }
        if "order_number" not in slots and intent in {Intent.TRACK_ORDER, Intent.REFUND, Intent.CANCEL}:
            text = "We have opened a ticket. Please tell us your order number so that we can act on it at once."
            step = NextStep(action="ask_order_number", message=text, eta_minutes=240)
        else:
            text = "We have opened a ticket and will come back to you within four working hours."
            step = NextStep(action="ticket_opened", message=text, eta_minutes=240)
        return WorkflowResult(workflow=Category.SERVICE_ACTION, next_step=step, details={"ticket": ticket})


def find_intent(text: str) -> Intent:
    """Return what a customer wants done, by keywords; ``other`` when nothing is recognised."""
    return next((intent for intent, sign in _SIGNS if sign.search(text)), Intent.OTHER)


def find_slots(text: str) -> dict[str, str]:
    """Return the order number and the amount of money named in a text, where there are any."""
    slots = {}
    if match := _ORDER.search(text):
        slots["order_number"] = (match.group(1) or match.group(2)).upper()
    if match := _AMOUNT.search(text):
        slots["amount"] = match.group()
    return slots
