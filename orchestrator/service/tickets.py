"""Write the ticket of an intent from its template: title, queue, priority, due hours, and what is still to be asked."""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Record
from orchestrator.service.intents import Intent
from orchestrator.service.language import Language
from orchestrator.service.orders import Order
from orchestrator.service.slot import SLOT_NAMES, Slot, SlotName

TEMPLATES = Path(__file__).with_name("tickets.yaml")
NOT_GIVEN = "not given"
_FIELDS = frozenset({*SLOT_NAMES, "order_status", "channel"})


class Template(Record):
    """How the ticket of one intent looks. ``needs`` holds slots, or alternatives joined by ``|``."""

    title: str
    queue: str
    priority: Literal["low", "normal", "high"]
    due_hours: int = Field(gt=0)
    needs: tuple[str, ...]
    body: tuple[str, ...]

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        fields = {field for line in (self.title, *self.body) for _, field, _, _ in string.Formatter().parse(line) if field is not None}
        if unknown := fields - _FIELDS:
            raise ValueError(f"there is no field {min(unknown)!r}; the fields are {', '.join(sorted(_FIELDS))}")
        if no_slots := {str(name) for need in self.needs for name in alternatives(need)} - set(SLOT_NAMES):
            raise ValueError(f"there is no slot {min(no_slots)!r}; the slots are {', '.join(SLOT_NAMES)}")
        return self


class Wording(Record):
    """A reviewed text for the customer in both languages."""

    en: str
    es: str

    def of(self, language: Language) -> str:
        """Return the text in one language."""
        return self.es if language == "es" else self.en


class Templates(Record):
    """All templates and what customers are told."""

    templates: dict[Intent, Template]
    opened: Wording
    questions: dict[SlotName, Wording]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if missing := set(Intent) - set(self.templates):
            raise ValueError(f"there is no template for {min(missing).value!r}")
        asked = {alternatives(need)[0] for template in self.templates.values() for need in template.needs}
        if unasked := asked - set(self.questions):
            raise ValueError(f"there is no question for {min(unasked)!r}")
        return self

    def missing(self, intent: Intent, slots: Sequence[Slot]) -> tuple[SlotName, ...]:
        """Return the slots to ask for, in the template's order: of each unmet need its first alternative."""
        found = {slot.name for slot in slots}
        needs = map(alternatives, self.templates[intent].needs)
        return tuple(names[0] for names in needs if found.isdisjoint(names))

    def ticket(self, intent: Intent, slots: Sequence[Slot], order: Order | None, channel: str) -> dict[str, Any]:
        """Return the ticket, ready for JSON; ``missing`` names the slots still to be asked for."""
        template = self.templates[intent]
        by_name = {str(name): [slot for slot in slots if slot.name == name] for name in SLOT_NAMES}
        fields = {name: ", ".join(map(_shown, found)) or NOT_GIVEN for name, found in by_name.items()}
        fields |= {"order_status": order.summary() if order else "no record", "channel": channel}
        return {
            "intent": intent.value,
            "title": template.title.format_map(fields),
            "body": [line.format_map(fields) for line in template.body],
            "queue": template.queue,
            "priority": template.priority,
            "due_hours": template.due_hours,
            "slots": {name: [slot.as_json() for slot in found] for name, found in by_name.items() if found},
            "missing": list(self.missing(intent, slots)),
            "order": order.model_dump(mode="json") if order else None,
        }


def alternatives(need: str) -> list[SlotName]:
    """Return the slots that meet a need: ``"medicine | order_number"`` names two."""
    return [name.strip() for name in need.split("|")]  # type: ignore[misc]  # a template's are checked against SlotName when it is read


@cache
def packaged_templates() -> Templates:
    """Return the packaged templates."""
    return read_templates(TEMPLATES)


def read_templates(path: Path) -> Templates:
    """Read templates; raise ``OrchestratorError`` saying what is wrong with them and where."""
    try:
        return Templates.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise OrchestratorError(f"{path}: no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise OrchestratorError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _shown(slot: Slot) -> str:
    """Return a slot as staff read it: the customer's words, and beside a date or a medicine what it stands for."""
    if slot.name == "order_number":
        return slot.value or slot.text
    is_told = slot.value is None or slot.name == "amount" or slot.value == slot.text.lower()
    return slot.text if is_told else f"{slot.text} ({slot.value})"
