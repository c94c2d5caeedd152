"""Prepare a ticket: what is wanted (intent), about what (slots), and where the order stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from orchestrator.schema import Category, Classification, Message, NextStep, WorkflowResult
from orchestrator.service.intents import Intent, IntentFinder
from orchestrator.service.language import language_of
from orchestrator.service.orders import LocalOrders, Order, OrderLookup, OrderLookupError
from orchestrator.service.slot import Slot
from orchestrator.service.slots import find_slots, warm_up
from orchestrator.service.tickets import Templates, packaged_templates

__all__ = ["Intent", "LocalOrders", "Lookup", "OrderLookup", "ServiceAction"]

Lookup = Literal["found", "not_found", "unavailable", "not_asked"]


def local_now() -> datetime:
    """Return the local time of this machine, without its zone: customers mean the days of their own calendar."""
    return datetime.now().astimezone().replace(tzinfo=None)


@dataclass(frozen=True)
class ServiceAction:
    """Prepare a ticket from the intent and the slots found in the message."""

    orders: OrderLookup
    intents: IntentFinder = field(default_factory=IntentFinder.packaged)
    templates: Templates = field(default_factory=packaged_templates)
    clock: Callable[[], datetime] = local_now

    def __post_init__(self) -> None:
        """Load everything now: the first message must not hold up the others."""
        warm_up()

    @property
    def blocking(self) -> bool:
        """Say whether a call may wait for another machine: an event loop must then run it in a thread."""
        return self.orders.blocking

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:  # noqa: ARG002  # as all workflows
        """Return the ticket to open and, where needed, the question to ask. An order system that fails only leaves the order out."""
        intent, probability = self.intents(message.text)
        slots = find_slots(message.text, self.clock(), intent)
        order, lookup = self._look_up(slots)
        ticket = self.templates.ticket(intent, slots, order, message.channel.value)
        details = {"ticket": ticket, "lookup": lookup, "intent_probability": round(probability, 3)}
        return WorkflowResult(workflow=Category.SERVICE_ACTION, next_step=self._next_step(message.text, intent, slots), details=details)

    def _look_up(self, slots: tuple[Slot, ...]) -> tuple[Order | None, Lookup]:
        number = next((slot.value for slot in slots if slot.name == "order_number" and slot.value), None)
        if number is None:
            return None, "not_asked"
        try:
            order = self.orders(number)
        except OrderLookupError:
            return None, "unavailable"
        return order, "found" if order else "not_found"

    def _next_step(self, text: str, intent: Intent, slots: tuple[Slot, ...]) -> NextStep:
        """Ask for the first thing missing. Nothing of the order is told here: whoever writes has not shown who they are."""
        language, due_hours = language_of(text), self.templates.templates[intent].due_hours
        if missing := self.templates.missing(intent, slots):
            action, told = f"ask_{missing[0]}", self.templates.questions[missing[0]].of(language)
        else:
            action, told = "ticket_opened", self.templates.opened.of(language).format(hours=due_hours)
        return NextStep(action=action, message=told, eta_minutes=due_hours * 60)
