"""A text read once for all recognisers: its words with their places, and which words it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# Apostrophes and hyphens belong to a word only between letters or digits; the classes do not overlap, so there is nothing to backtrack into.
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_DIGIT = re.compile(r"\d")


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
    words = tuple([_word(m[0], *m.span()) for m in _WORD.finditer(text)])  # a list is filled faster than a generator is drained
    return Reading(text, words, frozenset([word[1] for word in words]), _DIGIT.search(text) is not None)


def _word(word: str, start: int, end: int) -> Word:
    lower = word.lower()
    return Word(word, lower if word.isascii() else lower.replace("\u2019", "'"), start, end)
