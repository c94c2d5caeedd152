"""Compare the slots found with those an annotator marked: ``Row, labels -> counts``.

A slot found is right where it overlaps a labelled text of its kind, wherever that text occurs in the message (small letters); an order
number must have exactly the labelled letters and digits. A label is reached where some slot found is right by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from evals.data import Row
from evals.errors import DataError, EvalError
from orchestrator.service.intents import IntentFinder
from orchestrator.service.order_numbers import order_key
from orchestrator.service.slot import Slot
from orchestrator.service.slots import find_slots

LABELLED = ("order_number", "date", "amount", "medicine")  # the date an appointment is booked for is not labelled
NOW = datetime(2026, 11, 25, 12)  # a Wednesday; where a date stands does not depend on it  # noqa: DTZ001  # local time, as customers mean it
Labels = Mapping[str, Mapping[str, Sequence[str]]]  # by message, by slot
Scores = list[tuple[int, int, int, int]]


def load_slot_labels(path: Path) -> dict[str, dict[str, list[str]]]:
    """Read slot labels by message id; raise ``EvalError`` when the file is missing, ``DataError`` with file:line for a wrong line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise EvalError(f"{path} is missing: it holds the labelled slots of service messages; take it from version control") from None
    labels: dict[str, dict[str, list[str]]] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            labels[row["id"]] = {name: _texts(value) for name, value in row["slots"].items()}
            if unknown := set(row["slots"]) - set(LABELLED):
                problems.append(f"{path}:{number}: there is no slot {min(unknown)!r}; the slots are {', '.join(LABELLED)}")
        except (ValueError, KeyError, TypeError, AttributeError):
            problems.append(f'{path}:{number}: not of the form {{"id": ..., "slots": {{"date": "...", ...}}}}')
    if problems:
        raise DataError(problems)
    return labels


def score_slots(rows: Sequence[Row], labels: Labels) -> dict[str, Scores]:
    """Return for each slot a tuple a labelled message: found, found rightly, labelled, labelled and reached.

    Raises ``EvalError`` for a labelled text that its message does not hold.
    """
    finder = IntentFinder.packaged()
    scores: dict[str, Scores] = {name: [] for name in LABELLED}
    for row in rows:
        if row.id not in labels:
            continue
        found = find_slots(row.message, NOW, finder(row.message)[0])
        for name in LABELLED:
            own = [slot for slot in found if slot.name == name]
            wanted = [(text, _places(row, text)) for text in labels[row.id].get(name, ())]
            rightly = sum(any(_agrees(slot, *label) for label in wanted) for slot in own)
            reached = sum(any(_agrees(slot, *label) for slot in own) for label in wanted)
            scores[name].append((len(own), rightly, len(wanted), reached))
    return scores


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("a label is a text")
    return [text.strip() for text in texts]


def _places(row: Row, text: str) -> list[int]:
    message, wanted = row.message.lower(), text.lower()
    places = [at for at in range(len(message)) if message.startswith(wanted, at)]
    if not places:
        raise EvalError(f"slot label {text!r} does not occur in message {row.id}: labels are verbatim")
    return places


def _agrees(slot: Slot, text: str, places: Sequence[int]) -> bool:
    if slot.name == "order_number":
        return order_key(slot.text) == order_key(text)
    return any(slot.start < at + len(text) and at < slot.end for at in places)
