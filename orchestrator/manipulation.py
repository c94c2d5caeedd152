"""Messages that try to steer whoever sorts them: ``manipulations(text)`` finds them, ``distrusted`` sends them to a person. Pure.

An LLM that obeys a message says what the message wants, so its answer is worth nothing there; nor can the message be thrown away, for
somebody may need help behind it. A person looks. It is no red flag and no part of what is evaluated: it never takes a person away and
changes neither category nor probabilities. Phrases are ``manipulation.yaml``'s; signs that are no words are here.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from importlib import resources
from pathlib import Path

from orchestrator.safety import Matcher, read_rules
from orchestrator.safety_text import MAX_CHARS
from orchestrator.schema import Classification

STEERED = "the message tries to steer the classifier"
# Each is linear: no quantifier stands over another.
SIGNS: dict[str, re.Pattern[str]] = {
    # Turns of a conversation, as models are trained on them.
    "turns": re.compile(
        r"<\|[a-z_]{2,20}\|>|\[/?INST\]|<</?SYS>>|^[#*> ]{0,6}(?:system|assistant|human)[* ]{0,3}:"
        r"|</?(?:system|assistant|message|instructions?|answer|ignore|tool_call|function_call)>",
        re.IGNORECASE | re.MULTILINE,
    ),
    # The answer in the form that the service asks an LLM for.
    "answer": re.compile(
        r"""["']?(?:category|label|classification)["']?[ ]{0,3}[:=][ ]{0,3}["'`]?"""
        r"""(?:[ABC]\b|informational|service_action)"""
    ),
    # A letter alone at the end of a sentence that tells what to answer: never "answer a question".
    "letter": re.compile(
        r"""\b(?i:answer|reply|respond|output|category|classify|label|letra|antworte|réponds)\b(?:\W{1,4}\w{2,10}){0,3}"""
        r"""\W{1,4}[ABC](?=[\s"'`*)}\]]{0,3}(?:$|[\n.,;!)]))"""
    ),
    "template": re.compile(r"\{\{|\{%|\$\{"),
    "frame": re.compile(r"(?:={3}|-{3}|#{3}|\*{3})[ ]{0,3}(?:BEGIN|END|START|STOP)\b"),
    "overridden": re.compile("[\u202d\u202e]"),  # text that is shown in another order than it is read in
    "sprinkled": re.compile("(?:\\w[\u200b\u2060\ufeff\u00ad]){4}"),  # invisible characters between letters
    "mixed": re.compile("(?:[a-z][\u0430-\u044f]|[\u0430-\u044f][a-z])", re.IGNORECASE),  # Latin and Cyrillic letters in a word
    "wide": re.compile("[\uff21-\uff3a\uff41-\uff5a]{3}"),  # full-width Latin letters: a model may read them, a text model does not
}
_ENCODED = re.compile(r"(?<![\w/+])[A-Za-z0-9+/]{24,4000}={0,2}(?![\w/+=])")
MOST_ENCODED = 20  # words that are tried: more are no message


def manipulations(text: str) -> tuple[str, ...]:
    """Return the ids of what tries to steer the reader of a text: of phrases in the order of the file, then of signs."""
    text = text[:MAX_CHARS]
    found = _phrases()(text)
    signs = tuple(name for name, sign in SIGNS.items() if sign.search(text))
    return found + signs + (("encoded",) if _has_encoded(text) else ())


def distrusted(text: str, classification: Classification) -> Classification:
    """Return the classification with a person to look at it as possible safety, where the text tries to steer and nothing else did that."""
    decision = classification.decision
    if decision.routed_as_safety or not (found := manipulations(text)):
        return classification
    path = f"{decision.path}; to a person as possible safety: {STEERED} ({', '.join(found)})"
    looked_at = decision.model_copy(update={"review_required": True, "routed_as_safety": True, "path": path})
    return classification.model_copy(update={"decision": looked_at})


def _has_encoded(text: str) -> bool:
    """Say whether a word is base64 of a sentence. Order numbers and tokens are not."""
    for match, _ in zip(_ENCODED.finditer(text), range(MOST_ENCODED), strict=False):
        word = match[0].rstrip("=")
        try:
            plain = base64.b64decode(word + "=" * (-len(word) % 4)).decode("ascii")
        except (binascii.Error, ValueError):
            continue
        if plain.isprintable() and plain.count(" ") > 1:
            return True
    return False


@cache
def _phrases() -> Matcher:
    return Matcher(read_rules(Path(str(resources.files("orchestrator") / "manipulation.yaml"))))
