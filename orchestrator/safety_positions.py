"""Find where phrases stand in a message, in time linear in its length.

Each element of the phrases is a bit mask of the words that are it, and a phrase a few shifts of such masks: there is nothing to
backtrack over. Source: the shift-and method of Baeza-Yates and Gonnet, "A new approach to text searching", CACM 35 (10), 1992.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.safety_phrases import ANYWHERE, Known, Lexicon, Phrase
from orchestrator.safety_text import Words


class Positions(NamedTuple):
    """Where each element stands in one message: bit i of a mask is word i."""

    where: list[int]  # by element: the words that are it
    longer: dict[int, list[tuple[int, int]]]  # by element: where alternatives of several words begin, with their number of words
    present: int  # bit e is set where element e is in the message
    length: int  # of the message, in words
    barriers: int  # words that no phrase reaches over

    @classmethod
    def read(cls, message: Words, known: Callable[[str], Known], lexicon: Lexicon) -> Positions:
        """Look up every word of a message with what a lexicon's ``reader`` returned."""
        places: dict[str, int] = {}
        for index, word in enumerate(message.words):
            places[word] = places.get(word, 0) | 1 << index
        where, present = [0] * len(lexicon), 0
        rarest: set[int] = set()
        for word, at in places.items():
            elements, mask, rare = known(word)
            for element in elements:
                where[element] |= at
            present |= mask
            rarest.update(rare)
        longer: dict[int, list[tuple[int, int]]] = {}
        for element in rarest:
            for words, owners in lexicon.several[element].items():
                if at := _in_a_row(where, words):
                    for owner in owners:
                        longer.setdefault(owner, []).append((at, len(words)))
                        present |= 1 << owner
        return cls(where, longer, present, len(message.words), message.breaks)

    def starts(self, phrase: Phrase) -> int:
        """Return the words at which the phrase begins."""
        reach = (1 << self.length) - 1  # where the element at hand may end
        at = 0
        for step in reversed(phrase.steps):
            if step.absent:
                reach &= ~self._before(self.starts_of(step.element), step.gap)
                continue
            at = self.starts_of(step.element, reach)
            if not at:
                return 0
            reach = self._before(at, step.gap)
        return at

    def starts_of(self, element: int, reach: int = -1) -> int:
        """Return the words at which an element begins that ends within ``reach``."""
        at = self.where[element] & reach
        for begins, words in self.longer.get(element, ()):
            at |= begins & (reach >> (words - 1))
        return at

    def ends_of(self, element: int) -> int:
        """Return the words at which an element ends."""
        at = self.where[element]
        for begins, words in self.longer.get(element, ()):
            at |= begins << (words - 1)
        return at

    def _before(self, at: int, gap: int) -> int:
        """Return the words that ``at`` follows with no more than ``gap`` others in between."""
        if gap == ANYWHERE:
            return (1 << max(at.bit_length() - 1, 0)) - 1
        at >>= 1
        reach = at
        for _ in range(gap):
            at = (at & ~self.barriers) >> 1
            reach |= at
        return reach


def _in_a_row(where: list[int], words: tuple[int, ...]) -> int:
    at = where[words[-1]]
    for word in words[-2::-1]:
        if not at:
            return 0
        at = where[word] & (at >> 1)
    return at
