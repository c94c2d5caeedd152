"""Find the word of a vocabulary that a misspelt one was meant to be.

Every way to leave out letters of the vocabulary's words is listed once; a typo is looked up with its own letters left out, so a
look-up costs no more for a large vocabulary. Source: Garbe, "1000x faster spelling correction: symmetric delete", 2012.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from rapidfuzz.distance import OSA

SHORT, LONG = 5, 8  # letters from which one, and from which two, slips of the finger are forgiven
LONGEST = 20  # letters; no word of the vocabulary is longer


class Speller:
    """Look up the nearest word of a vocabulary; never for a word that is ``real``, however near it comes."""

    def __init__(self, vocabulary: Iterable[str], real: Iterable[str]) -> None:
        """Take the words to be recognised and those that are no typos of them."""
        self._words = frozenset(word for word in vocabulary if len(word) >= SHORT and word.isalpha())
        self._real = frozenset(real)
        self._shortened: dict[str, list[str]] = {}
        for word in sorted(self._words):
            for form in _shortened(word):
                self._shortened.setdefault(form, []).append(word)

    def __call__(self, word: str) -> str | None:
        """Return the word that was meant, or None where there is no near one."""
        if not SHORT <= len(word) <= LONGEST or word in self._real or not word.isalpha():
            return None
        near = {candidate for form in _shortened(word) for candidate in self._shortened.get(form, ())}
        # The first letter is seldom mistyped, and words that differ there are mostly other words.
        slips = [(OSA.distance(word, candidate), candidate) for candidate in near if candidate[0] == word[0]]
        slips = [(count, candidate) for count, candidate in slips if count <= min(_slips(word), _slips(candidate))]
        return min(slips)[1] if slips else None


def _slips(word: str) -> int:
    return 2 if len(word) >= LONG else 1


def _shortened(word: str) -> set[str]:
    """Return the word with up to as many letters left out as slips are forgiven."""
    return {"".join(kept) for count in range(_slips(word) + 1) for kept in combinations(word, len(word) - count)}
