"""Red-flag rules: phrases that mark a message as safety whatever the model says.

The rules are data (``red_flags.yaml``). A rule does not fire on a phrase that is negated ("no swelling") or
asked about ahead of time ("can it cause swelling?").
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from orchestrator.errors import ReleaseError
from orchestrator.safety_context import Context, Cues, Listed, read_contexts
from orchestrator.safety_phrases import Lexicon, Phrase
from orchestrator.safety_positions import Positions
from orchestrator.safety_spelling import Speller
from orchestrator.safety_text import read_words
from orchestrator.schema import Record


class Rule(Record):
    """One red flag: phrases (see ``safety_phrases``), why they matter, and messages that must and must not raise it."""

    id: str = Field(pattern=r"^[a-z][a-z_]*$")
    reason: str
    phrases: tuple[str, ...] = Field(min_length=1)
    fires: tuple[str, ...] = Field(min_length=3)
    silent: tuple[str, ...] = Field(min_length=2)
    always: bool = False  # fires even when negated or hypothetical: self-harm is not weighed


class Rules(Record):
    """The whole file: the rules and their vocabulary, the cues of negation and hypothesis, the words found in any spelling."""

    context: dict[str, Cues]
    misspelt: Listed
    real_words: Listed
    vocabulary: dict[str, Listed]
    rules: tuple[Rule, ...]


def red_flags(text: str) -> tuple[str, ...]:
    """Return the ids of the rules that fire on a text, in the order of the file."""
    return _compiled()(text)


def load_rules(path: Path | None = None) -> list[Rule]:
    """Read the rules; ``path`` defaults to the packaged ``red_flags.yaml``. Raise ``ReleaseError`` for a file that does not hold them."""
    return list(read_rules(path).rules)


@cache
def read_rules(path: Path | None = None) -> Rules:
    """Read the whole file; raise ``ReleaseError`` where it does not hold what it must."""
    path = path or Path(str(resources.files("orchestrator") / "red_flags.yaml"))
    try:
        return Rules.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ReleaseError(f"{path}: not a file of red flags: {error}") from None


def find_phrases(text: str, phrases: tuple[str, ...]) -> bool:
    """Say whether any of the phrases stands in a text, neither negated nor asked about; they may name the rules' vocabulary."""
    return bool(phrases) and bool(_phrase_matcher(phrases)(text))


class Matcher:
    """All rules, compiled: ``text -> ids of those that fire``."""

    def __init__(self, rules: Rules) -> None:
        """Compile the rules; raise ``ReleaseError`` naming the rule with a phrase that is none."""
        self._lexicon = Lexicon(rules.vocabulary)
        self._contexts = tuple(Context.compile(cues, self._lexicon) for cues in rules.context.values())
        self._rules = tuple((rule, _phrases(rule, self._lexicon)) for rule in rules.rules)
        self._known = self._lexicon.reader(Speller(rules.misspelt, rules.real_words))

    def __call__(self, text: str) -> tuple[str, ...]:
        """Return the ids of the rules that fire on a text, in the order of the file."""
        message = read_words(text)
        at = Positions.read(message, self._known, self._lexicon)
        cues, covered = read_contexts(self._contexts, message, at)
        careful = at._replace(barriers=message.breaks | cues)
        fired = []
        for rule, phrases in self._rules:
            possible = (phrase for phrase in phrases if not phrase.needed & ~at.present)
            if any(at.starts(phrase) if rule.always else careful.starts(phrase) & ~covered for phrase in possible):
                fired.append(rule.id)
        return tuple(fired)


def _phrases(rule: Rule, lexicon: Lexicon) -> tuple[Phrase, ...]:
    try:
        return tuple(lexicon.phrase(phrase) for phrase in rule.phrases)
    except ValueError as error:
        raise ReleaseError(f"red_flags.yaml: rule {rule.id}: {error}") from None


@cache
def _compiled() -> Matcher:
    return Matcher(read_rules())


@cache
def _phrase_matcher(phrases: tuple[str, ...]) -> Matcher:
    rule = Rule.model_construct(id="phrases", reason="", phrases=phrases, fires=(), silent=())  # needs no examples: it is no red flag
    return Matcher(read_rules().model_copy(update={"rules": (rule,)}))
