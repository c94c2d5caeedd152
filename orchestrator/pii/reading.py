"""A text read once for all recognisers: its words with their places, and which words it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# Apostrophes and hyphens belong to a word only between letters or digits; the classes do not overlap, so there is nothing to backtrack into.
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


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
    has_digit: bool

    def between(self, left: int, right: int) -> str:
        """Return what stands between two words, by their positions."""
        return self.text[self.words[left].end : self.words[right].start]


def read(text: str) -> Reading:
    """Return the text with its words."""
    words = tuple(Word(m.group(), m.group().lower().replace("\u2019", "'"), m.start(), m.end()) for m in _WORD.finditer(text))
    return Reading(text, words, frozenset(word.lower for word in words), any(map(str.isdigit, text)))
