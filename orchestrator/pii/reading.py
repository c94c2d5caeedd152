"""A text read once for all recognisers: its words with their places, and which words it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

# Apostrophes and hyphens belong to a word only between letters or digits; the classes are disjoint: nothing to backtrack into.
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_DIGIT = re.compile(r"\d")
_NEW: Callable[[type[Word], tuple[str, str, int, int]], Word] = tuple.__new__


class Word(NamedTuple):
    """A word as it stands, in lower case with a plain apostrophe, and its place."""

    text: str
    lower: str
    start: int
    end: int


@dataclass(frozen=True)
class Reading:
    """A text with its words. ``holds`` are the words in lower case, for cheap questions before dear ones."""

    text: str
    words: tuple[Word, ...]
    holds: frozenset[str]
    digits: int  # how many

    def between(self, left: int, right: int) -> str:
        """Return what stands between two words, by their positions."""
        return self.text[self.words[left].end : self.words[right].start]


def read(text: str) -> Reading:
    """Return the text with its words."""
    lowered = text.lower().replace("\u2019", "'")
    if len(lowered) != len(text):  # a dotted capital I becomes two characters: the places would no longer fit
        lowered = "".join(lower if len(lower := char.lower()) == 1 else char for char in text).replace("\u2019", "'")
    # By tuple.__new__, in half the time of Word(...): this is the dearest line of a short message.
    words = tuple([_NEW(Word, (m[0], lowered[(span := m.span())[0] : span[1]], *span)) for m in _WORD.finditer(text)])
    return Reading(text, words, frozenset([word[1] for word in words]), len(_DIGIT.findall(text)))
