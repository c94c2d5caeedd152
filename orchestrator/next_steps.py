"""Choose the reviewed text a customer is told after a safety message, in the message's language. Nothing is generated."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ValidationError, model_validator

from orchestrator.errors import ReleaseError
from orchestrator.safety_context import Listed
from orchestrator.safety_text import read_words
from orchestrator.schema import NextStep, Record, Severity

Language = Literal["en", "es"]
TEMPLATES = Path(str(resources.files("orchestrator") / "next_steps.yaml"))
WITHIN = {Severity.EMERGENCY: 5, Severity.URGENT: 60, Severity.ROUTINE: 1440}  # minutes in which a person acts at the latest


class Template(Record):
    """One reviewed text: for which severities and, where it names any, which red flags."""

    id: str
    severity: tuple[Severity, ...]
    flags: Listed = ()
    action: str
    eta_minutes: int
    en: str
    es: str

    def fits(self, severity: Severity, flags: tuple[str, ...]) -> bool:
        """Say whether this is for a message of that severity and those red flags."""
        return severity in self.severity and (not self.flags or bool(set(self.flags).intersection(flags)))


class Templates(Record):
    """``next_steps.yaml``: the texts in order of precedence, and when a pharmacist last reviewed them."""

    reviewed: dt.date
    words: dict[Language, Listed]  # short words that one language has and the other has not
    steps: tuple[Template, ...]

    @model_validator(mode="after")
    def _covers_all(self) -> Templates:
        for severity in Severity:
            if not any(template.fits(severity, ()) for template in self.steps):
                raise ValueError(f"there is no text for {severity.value} without a red flag")
        return self


def next_step(text: str, severity: Severity, flags: tuple[str, ...]) -> NextStep:
    """Return what the writer of a safety message is told, in English or Spanish."""
    template = next(template for template in load_templates().steps if template.fits(severity, flags))
    words = template.es if language(text) == "es" else template.en
    return NextStep(action=template.action, message=words, eta_minutes=min(template.eta_minutes, WITHIN[severity]))


def language(text: str) -> Language:
    """Return the language most of a message's short words are of; English where they tell nothing."""
    words = read_words(text).words
    own = load_templates().words
    return "es" if sum(word in own["es"] for word in words) > sum(word in own["en"] for word in words) else "en"


@cache
def load_templates(path: Path = TEMPLATES) -> Templates:
    """Read the texts; raise ``ReleaseError`` for a file that does not hold them."""
    try:
        return Templates.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ReleaseError(f"{path}: not a file of next steps: {error}") from None
