"""Turn a reply into probabilities over the three categories: ``Reply -> Answer``.

Where the server gives log-probabilities they are read off the category's token(s); otherwise the
verbalised distribution is taken. Anything that cannot be read is a ``Failure``, never a guess.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from orchestrator.llm import Reply, Token
from orchestrator.prompts import Prompt
from orchestrator.schema import CATEGORIES, Answer, Failure, FailureKind, Probabilities, Source

FLOOR = 1e-6  # a label missing from the alternatives is unlikely, not impossible
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # as in orchestrator.incoming: no store holds them
_CATEGORY = re.compile(r'^\s*\{\s*"category"\s*:\s*"')


def read_answer(reply: Reply | Failure, prompt: Prompt) -> Answer:
    """Return the probabilities in a reply together with their source, or the failure.

    The reply is validated anew: servers may answer 200 without enforcing the schema.
    """
    if isinstance(reply, Failure):
        return Answer(failure=reply)
    try:
        return _read(reply, prompt)
    except (ValueError, ArithmeticError, RecursionError):  # NaN for a probability, numbers of 400 digits, lists in lists in lists
        return _unparsable(reply, "numbers or nesting that nobody can read")


def _read(reply: Reply, prompt: Prompt) -> Answer:
    try:
        fields = json.loads(reply.text)
    except ValueError:
        return _unparsable(reply, "not JSON")
    if not isinstance(fields, dict) or prompt.category_of(str(fields.get("category"))) is None:
        return _unparsable(reply, "no known category")
    rationale = fields.get("reasoning")
    found: tuple[Probabilities, Source, float] | None
    if reply.tokens:
        found = _from_tokens(reply, [prompt.codes[c] for c in CATEGORIES])
    else:
        found = _from_numbers(fields.get("probabilities"), prompt)
    if found is None:
        return _unparsable(reply, "neither log-probabilities nor a distribution over the three categories")
    probabilities, source, mass = found
    return Answer(
        probabilities=probabilities,
        source=source,
        label_mass=mass,
        rationale=_UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", rationale) if isinstance(rationale, str) and rationale else None,
        usage=reply.usage,
    )


def label_logmass(tokens: Sequence[Token], offset: int, labels: Sequence[str]) -> list[float]:
    """Return each label's probability mass, given that the label starts at character ``offset``.

    A label may span tokens and its first token may carry the opening quote, so the walk is over
    characters: every alternative that is a prefix of exactly one label (or runs past its end) counts for
    that label. An alternative shared by several labels is followed only where the model went; what
    other shared alternatives hold is lost, and shows in a label mass below 1.
    """
    mass = [0.0] * len(labels)
    start = 0
    reached = 1.0
    for token in tokens:
        end = start + len(token.text)
        if end > offset:
            head = max(offset - start, 0)  # characters of this token before the label
            done = max(start - offset, 0)  # characters of the label before this token
            written = "".join(t.text for t in tokens)[offset : offset + done]
            shared = 0.0
            for text, logprob in _with_chosen(token):
                if text[:head] != token.text[:head]:
                    continue
                owners = _owners(written + text[head:], labels) if text[head:] else []
                if len(owners) == 1:
                    mass[owners[0]] += reached * math.exp(logprob)
                elif len(owners) > 1 and text == token.text:
                    shared = math.exp(logprob)
            if not shared:
                break
            reached *= shared
        start = end
    return mass


def _from_tokens(reply: Reply, labels: list[str]) -> tuple[Probabilities, Source, float] | None:
    written = "".join(token.text for token in reply.tokens)
    match = _CATEGORY.match(written)
    if match is None:
        return None
    mass = label_logmass(reply.tokens, match.end(), labels)
    if sum(mass) <= 0.0:
        return None
    vector = np.maximum(mass, FLOOR)
    return Probabilities.from_vector(vector), Source.LOGPROB, min(sum(mass), 1.0)


def _from_numbers(numbers: Any, prompt: Prompt) -> tuple[Probabilities, Source, float] | None:
    if not isinstance(numbers, dict):
        return None
    values = [numbers.get(prompt.codes[c]) for c in CATEGORIES]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and v >= 0 for v in values):
        return None
    total = float(sum(v for v in values if v is not None))
    if total <= 0.0:
        return None
    vector = np.maximum(np.array(values, dtype=np.float64) / total, FLOOR)
    return Probabilities.from_vector(vector), Source.VERBALIZED, 1.0


def _with_chosen(token: Token) -> list[tuple[str, float]]:
    """Return the alternatives, the chosen token among them even where the list was too short for it."""
    alternatives = list(token.alternatives)
    if all(text != token.text for text, _ in alternatives):
        alternatives.append((token.text, token.logprob))
    return alternatives


def _owners(text: str, labels: Sequence[str]) -> list[int]:
    """Which labels a text can still become, or already is, its closing quote included."""
    return [index for index, label in enumerate(labels) if label.startswith(text) or text == label or text.startswith(label + '"')]


def _unparsable(reply: Reply, why: str) -> Answer:
    failure = Failure(kind=FailureKind.UNPARSABLE, detail=f"{why}: {reply.text[:120]!r}")
    return Answer(failure=failure, usage=reply.usage)
