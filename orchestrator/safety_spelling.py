"""Find the word of a small vocabulary that a misspelt one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz.distance import OSA

SHORT, LONG = 5, 8  # letters from which one, and from which two, slips of the finger are forgiven
LONGEST = 20  # letters; no word of the vocabulary is longer


class Speller:
    """Look up the nearest word of a vocabulary; never for a word that is ``real``, however near it comes."""

    def __init__(self, vocabulary: Iterable[str], real: Iterable[str]) -> None:
        """Take the words to be recognised and those that are no typos of them."""
        self._real = frozenset(real)
        self._by_letter: dict[str, list[str]] = {}
        for word in sorted(vocabulary):
            # The first letter is seldom mistyped, and words that differ there are mostly other words.
            self._by_letter.setdefault(word[0], []).append(word)

    def __call__(self, word: str) -> str | None:
        """Return the word that was meant, or None where there is no near one.

        A letter left out, put in or replaced, and two neighbours exchanged, are one slip: Damerau, 1964, as optimal string alignment.
        """
        if not SHORT <= len(word) <= LONGEST or word in self._real or not word.isalpha():
            return None
        nearest, fewest = None, _slips(word) + 1
        for candidate in self._by_letter.get(word[0], ()):
            allowed = min(_slips(candidate), fewest - 1)
            if abs(len(candidate) - len(word)) <= allowed and (slips := OSA.distance(word, candidate, score_cutoff=allowed)) <= allowed:
                nearest, fewest = candidate, int(slips)
                if not fewest:
                    break
        return nearest


def _slips(word: str) -> int:
    return 0 if len(word) < SHORT else 1 if len(word) < LONG else 2
