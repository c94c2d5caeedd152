"""Replace personal data by what kind of data it was: ``jo@x.org -> [EMAIL]``; or by tokens that can be undone: ``[EMAIL_1]``.

What counts as personal data is found by ``orchestrator.pii``. Doses, prices, lots and medicine names stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.pii import Kind, Span, find

__all__ = ["Kind", "Redacted", "Span", "find", "redact", "restore", "tokenize", "untokened"]

_TOKEN = re.compile(r"\[[A-Z]{1,16}_[0-9]{1,9}\]")


@dataclass(frozen=True)
class Redacted:
    """A text with tokens in place of personal data, and what each token stands for, which is personal data still."""

    text: str
    values: dict[str, str]


def redact(text: str, *, orders: bool = False) -> str:
    """Return the text with personal data replaced by its kind, as ``[EMAIL]``; order numbers too if ``orders``."""
    spans = find(text, orders=orders)
    return _replaced(text, spans, (f"[{span.kind}]" for span in spans))


def tokenize(text: str, *, orders: bool = False) -> Redacted:
    """Return the text with personal data replaced by numbered tokens, the same value of a kind always by the same token.

    Tokens that the text holds already are not given out again, so ``restore`` is its exact inverse.
    """
    spans = find(text, orders=orders)
    present = set(_TOKEN.findall(text))
    tokens: dict[tuple[Kind, str], str] = {}
    numbers = dict.fromkeys(Kind, 0)
    for span in spans:
        value = (span.kind, text[span.start : span.end])
        while value not in tokens:
            numbers[span.kind] += 1
            token = f"[{span.kind}_{numbers[span.kind]}]"
            if token not in present:
                tokens[value] = token
    replaced = _replaced(text, spans, (tokens[span.kind, text[span.start : span.end]] for span in spans))
    return Redacted(replaced, {token: value for (_, value), token in tokens.items()})


def restore(text: str, values: Mapping[str, str]) -> str:
    """Return a text with each token of ``values`` replaced by its value, in one pass: values that look like tokens stay as they are."""
    return _TOKEN.sub(lambda match: values.get(match.group(), match.group()), text)


def untokened(text: str) -> str:
    """Return a text with each token by its kind alone, ``[EMAIL_1] -> [EMAIL]``: as ``redact`` would have it."""
    return _TOKEN.sub(lambda match: match.group().split("_")[0] + "]", text)


def _replaced(text: str, spans: Iterable[Span], by: Iterable[str]) -> str:
    parts, end = [], 0
    for span, replacement in zip(spans, by, strict=True):
        parts += [text[end : span.start], replacement]
        end = span.end
    return "".join([*parts, text[end:]])
