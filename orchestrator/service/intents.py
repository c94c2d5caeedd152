"""Say what a customer wants done: a text model that reads the signs found in a message beside its words.

A sign is a named pattern of ``signs.yaml``. Few labelled messages teach a model few spellings; the signs carry what is known of the
rest, and how much each sign counts for each intent is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

import yaml

from orchestrator.service.caseless import Caseless
from orchestrator.text_model import TextModel

MODEL = Path(__file__).parent.parent / "models" / "intent.json"
_SIGNS = Path(__file__).with_name("signs.yaml")
MOST_CHARACTERS = 4000  # what is wanted stands in a mail's first page; the time of a call stays bounded


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


@dataclass(frozen=True)
class IntentFinder:
    """The most probable intent of a text, and how probable it is."""

    model: Callable[[str], Mapping[str, float]]

    @classmethod
    def packaged(cls) -> Self:
        """Load the packaged model, once in a process; raise ``ReleaseError`` when its file is missing or damaged."""
        return cls(_packaged_model())

    def __call__(self, text: str) -> tuple[Intent, float]:
        """Return the intent and its (uncalibrated) probability."""
        shares = self.model(with_signs(text[:MOST_CHARACTERS]))
        best = max(shares, key=lambda label: shares[label])
        return Intent(best), shares[best]


def with_signs(text: str) -> str:
    """Return the text as the model reads it: followed by the names of the signs found in it."""
    return f"{text}\n{signs_in(text)}"


def signs_in(text: str) -> str:
    """Return the names of the signs found in a text, each behind a mark that makes it no word of the text."""
    return " ".join(f"_{name}" for name, pattern in _signs().items() if pattern.search(text))


@cache
def _packaged_model() -> TextModel:
    return TextModel.load(MODEL)


@cache
def _signs() -> dict[str, Caseless]:
    written: dict[str, str] = yaml.safe_load(_SIGNS.read_text(encoding="utf-8"))
    return {name: Caseless(rf"\b(?:{pattern})") for name, pattern in written.items()}
