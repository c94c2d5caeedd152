"""Misspelled words: an unknown term is read as the nearest known one."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz.distance import OSA

SHORTEST = 5  # letters: shorter words have too many neighbours
LONG = 8  # letters from which on two slips are forgiven
REMEMBERED = 10_000  # words, so that a flood of nonsense cannot fill the memory
WEIGHT = 0.8  # a guess counts less than what was written; chosen on dev


class Typos:
    """Nearest known terms by optimal string alignment distance (a swap of neighbours is one slip), with the same first letter."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        """Sort the known terms by first letter and length."""
        self._buckets: dict[tuple[str, int], list[str]] = {}
        for term in vocabulary:
            if len(term) >= SHORTEST - 1 and term.isalpha():
                self._buckets.setdefault((term[0], len(term)), []).append(term)
        self._remembered: dict[str, str | None] = {}

    def nearest(self, term: str) -> str | None:
        """Return the nearest known term, None when there is none near enough or two are equally near."""
        if term not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                self._remembered = {}
            self._remembered[term] = self._search(term)
        return self._remembered[term]

    def _search(self, term: str) -> str | None:
        allowed = 2 if len(term) >= LONG else 1
        near: list[tuple[int, str]] = []
        for length in range(len(term) - allowed, len(term) + allowed + 1):
            for known in self._buckets.get((term[0], length), ()):
                distance = OSA.distance(term, known, score_cutoff=allowed)
                if distance <= allowed:
                    near.append((distance, known))
        near.sort()
        return near[0][1] if near and (len(near) == 1 or near[0][0] < near[1][0]) else None
