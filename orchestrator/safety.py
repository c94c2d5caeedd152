"""Red-flag rules: patterns that mark a message as safety whatever the model says.

The rules are data (``red_flags.yaml``). A rule does not fire on a match that is negated ("no swelling") or
asked about ahead of time ("can it cause swelling?").
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from orchestrator.schema import Record

# Longer texts are cut: the patterns are linear, but a bound makes the cost of any input plain.
MAX_CHARS = 20_000
_CLAUSE = re.compile(r"[.!?;\n]+|,? \b(?:but|however|pero)\b")
_NEGATED = re.compile(
    r"\b(?:no|not|nobody|never|without|nor|neither|zero|isn'?t|wasn'?t|haven'?t|hasn'?t|hadn'?t|didn'?t|don'?t|doesn'?t|won'?t"
    r"|free of|rather than|instead of|nothing like|sin|ning[uú]n[ao]?)\b(?:\W+\w+){0,4}\W*$",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"\b(?:can|could|does|do|would|will|might|may|if|whether|what happens|risk of|chance of|cause[sd]?|side effects?"
    r"|leaflet|read|heard|news|article|puede|podr[ií]a|si)\b(?:\W+\w+){0,6}\W*$",
    re.IGNORECASE,
)


class Rule(Record):
    """One red flag: a regular expression, why it matters, and whether a question can defuse it."""

    id: str
    pattern: str
    reason: str
    example: str
    always: bool = False  # fires even when negated or hypothetical: self-harm is not weighed


def red_flags(text: str) -> tuple[str, ...]:
    """Return the ids of the rules that fire on a text, in the order of the file."""
    clauses = [clause for clause in _CLAUSE.split(text[:MAX_CHARS].replace("\u2019", "'")) if clause.strip()]
    return tuple(rule.id for rule, pattern in _compiled() if any(_fires(rule, pattern, c) for c in clauses))


def load_rules(path: Path | None = None) -> list[Rule]:
    """Read the rules; ``path`` defaults to the packaged ``red_flags.yaml``."""
    path = path or Path(str(resources.files("orchestrator") / "red_flags.yaml"))
    return [Rule(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def _fires(rule: Rule, pattern: re.Pattern[str], clause: str) -> bool:
    for match in pattern.finditer(clause):
        before = clause[max(match.start() - 80, 0) : match.start()]
        if rule.always or not (_NEGATED.search(before) or _HYPOTHETICAL.search(before)):
            return True
    return False


@cache
def _compiled() -> tuple[tuple[Rule, re.Pattern[str]], ...]:
    return tuple((rule, re.compile(rule.pattern, re.IGNORECASE)) for rule in load_rules())
