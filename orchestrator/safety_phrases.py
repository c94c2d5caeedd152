"""Match phrases on a message's words, in time linear in their number.

A phrase is a row of elements, parted by blanks:

- ``word|other|stem*|two_words|<class>``: one of these comes next; a class is a list of the vocabulary
- ``#N+``: a number of at least N; as any other alternative
- ``~N``: up to N words may stand in between; never a sentence end, a negation or a hypothesis
- ``..``: anything may stand in between, whole sentences too
- ``!word``: and this does not come next (``!~N word``: nor within N words)

Each element becomes a bit mask of the positions where it stands, and a phrase a few shifts of such masks: there is nothing to
backtrack over. Source: the shift-and method of Baeza-Yates and Gonnet, "A new approach to text searching", 1992.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from orchestrator.safety_spelling import Speller
from orchestrator.safety_text import Words, unleet

ANYWHERE = -1  # a gap without bounds
_REMEMBERED = 16_384  # words whose elements are kept: a few megabytes, far more words than customers use


class Step(NamedTuple):
    """One element of a phrase: its number in the lexicon, and how many words may stand before it (``ANYWHERE``: any)."""

    element: int
    gap: int
    absent: bool


Phrase = tuple[Step, ...]


class Lexicon:
    """All elements of all phrases, and which of them each word is."""

    def __init__(self, vocabulary: Mapping[str, Sequence[str]]) -> None:
        """Take the classes that phrases may name."""
        self._vocabulary = vocabulary
        self._numbers: dict[str, int] = {}
        self._literal: dict[str, set[int]] = {}
        self._stems: dict[str, set[int]] = {}
        self._at_least: dict[int, set[int]] = {}
        self.several: list[list[tuple[int, ...]]] = []  # by element: its alternatives of several words

    def phrase(self, text: str) -> Phrase:
        """Compile a phrase; raise ``ValueError`` where it names no class of the vocabulary or is no phrase."""
        steps: list[Step] = []
        gap, absent = 0, False
        for part in text.split():
            if part in {"..", "!"} or part.startswith(("~", "!~")):
                absent = part.startswith("!")
                gap = ANYWHERE if part == ".." else int(part.lstrip("!~") or 0)
                continue
            steps.append(Step(self.element(part.lstrip("!").split("|")), gap, absent or part.startswith("!")))
            gap, absent = 0, False
        if not steps or steps[0].absent or gap:
            raise ValueError(f"{text!r} is no phrase: it begins and ends with a word")
        return tuple(steps)

    def element(self, alternatives: Iterable[str]) -> int:
        """Return the number of the element with these alternatives."""
        words = sorted(self._resolve(alternatives))
        name = "|".join(words)
        if name in self._numbers:
            return self._numbers[name]
        number = self._numbers[name] = len(self.several)
        self.several.append([])
        for word in words:
            if "_" in word:
                self.several[number].append(tuple(self.element([part]) for part in word.split("_")))
            elif word.startswith("#"):
                self._at_least.setdefault(int(word.strip("#+")), set()).add(number)
            else:
                (self._stems if word.endswith("*") else self._literal).setdefault(word.rstrip("*"), set()).add(number)
        return number

    def finish(self, speller: Speller) -> Reader:
        """Return what reads messages, once all phrases are compiled."""
        size = len(self.several)

        def known(word: str) -> frozenset[int]:
            found = set(self._literal.get(word, ()))
            for end in range(3, len(word) + 1):
                found.update(self._stems.get(word[:end], ()))
            if word.isdecimal():
                found.update(number for least, numbers in self._at_least.items() if int(word[:9]) >= least for number in numbers)
            return frozenset(found)

        @lru_cache(maxsize=_REMEMBERED)
        def elements(word: str) -> frozenset[int]:
            if found := known(word):
                return found
            plain = unleet(word)
            if plain and (found := known(plain)):
                return found
            meant = speller(plain or word)
            return known(meant) if meant else frozenset()

        return Reader(elements, size)

    def _resolve(self, alternatives: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for word in alternatives:
            if not word.startswith("<"):
                found.add(word)
            elif word.strip("<>") in self._vocabulary:
                found |= self._resolve(self._vocabulary[word.strip("<>")])
            else:
                raise ValueError(f"there is no class {word} in the vocabulary")
        return found


class Reader(NamedTuple):
    """Turns words into positions: ``elements`` says which elements a word is, ``size`` how many there are."""

    elements: lru_cache
    size: int

    def positions(self, message: Words) -> list[int]:
        """Return, by element, a mask with bit i set where word i is it (alternatives of one word alone)."""
        where = [0] * self.size
        for index, word in enumerate(message.words):
            for element in self.elements(word):
                where[element] |= 1 << index
        return where


class Positions(NamedTuple):
    """Where each element stands in one message, and the words no phrase reaches over."""

    where: list[int]
    several: list[list[tuple[int, ...]]]
    length: int
    barriers: int

    def starts(self, phrase: Phrase) -> int:
        """Return a mask of the positions where the phrase begins."""
        reach = (1 << self.length) - 1  # where the element at hand may end
        at = 0
        for step in reversed(phrase):
            if step.absent:
                reach &= ~self._before(self.starts_of(step.element), step.gap)
                continue
            at = self.starts_of(step.element, reach)
            if not at:
                return 0
            reach = self._before(at, step.gap)
        return at

    def starts_of(self, element: int, reach: int = -1) -> int:
        """Return where an element begins, of those that end within ``reach``."""
        at = self.where[element] & reach
        for words in self.several[element]:
            found = self.where[words[-1]] & reach
            for word in words[-2::-1]:
                found = self.where[word] & (found >> 1)
            at |= found
        return at

    def ends_of(self, element: int) -> int:
        """Return where an element ends."""
        at = self.where[element]
        for words in self.several[element]:
            found = self.where[words[0]]
            for word in words[1:]:
                found = (found << 1) & self.where[word]
            at |= found
        return at

    def _before(self, at: int, gap: int) -> int:
        """Return the positions that ``at`` follows with no more than ``gap`` words in between."""
        if gap == ANYWHERE:
            return (1 << max(at.bit_length() - 1, 0)) - 1
        at >>= 1
        reach = at
        for _ in range(gap):
            at = (at & ~self.barriers) >> 1
            reach |= at
        return reach
