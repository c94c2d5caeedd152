"""Compile phrases and say which elements of them a word is.

A phrase is a row of elements, parted by blanks:

- ``word|other|two_words|#N+|<class>``: one of these comes next; ``#N+`` is a number from N on, a class is a list of the vocabulary
- ``~N``: up to N words may stand in between; never a sentence end, a negation or a hypothesis
- ``..``: anything may stand in between, whole sentences too
- ``!word``: this does not come next (``!~N word``: nor within N words)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from orchestrator.safety_spelling import Speller
from orchestrator.safety_text import unleet

ANYWHERE = -1  # a gap without bounds
_GAP = re.compile(r"!?~\d+|\.\.")
_REMEMBERED = 16_384  # words whose elements are kept: a few megabytes, and far more words than customers use


class Step(NamedTuple):
    """One element of a phrase: its number in the lexicon, and how many words may stand before it (``ANYWHERE``: any)."""

    element: int
    gap: int
    absent: bool


class Phrase(NamedTuple):
    """The elements in order; bit e of ``needed`` is set where element e must be in the message."""

    steps: tuple[Step, ...]
    needed: int


class Known(NamedTuple):
    """What a word is: elements, also as a mask, and those of them that are the rarest word of alternatives of several words."""

    elements: tuple[int, ...]
    mask: int
    rarest: tuple[int, ...]


class Lexicon:
    """All elements of all phrases, and which of them each word is."""

    def __init__(self, vocabulary: Mapping[str, Sequence[str]]) -> None:
        """Take the classes that phrases may name."""
        self._vocabulary = vocabulary
        self._numbers: dict[tuple[str, ...], int] = {}
        self._literal: dict[str, set[int]] = {}
        self._at_least: dict[int, set[int]] = {}  # elements by the number from which on a number is one
        # Alternatives of several words: by the element of the longest, the rarest as a rule, the elements of all and what they are.
        self.several: dict[int, dict[tuple[int, ...], list[int]]] = {}

    def __len__(self) -> int:
        """Return the number of elements."""
        return len(self._numbers)

    def __contains__(self, word: str) -> bool:
        """Say whether a word is an element of any phrase."""
        return word in self._literal

    def phrase(self, text: str) -> Phrase:
        """Compile a phrase; raise ``ValueError`` where it names no class of the vocabulary or is no phrase."""
        steps: list[Step] = []
        gap, absent = 0, False
        for part in text.split():
            if _GAP.fullmatch(part):
                absent = part.startswith("!")
                gap = ANYWHERE if part == ".." else int(part.lstrip("!~"))
                continue
            absent = absent or part.startswith("!")
            steps.append(Step(self.element(part.lstrip("!").split("|")), gap, absent))
            gap, absent = 0, False
        if not steps or steps[0].absent or steps[0].gap or _GAP.fullmatch(text.rsplit(maxsplit=1)[-1]):
            raise ValueError(f"{text!r} is no phrase: it begins and ends with a word")
        needed = 0
        for step in steps:
            needed |= 0 if step.absent else 1 << step.element
        return Phrase(tuple(steps), needed)

    def element(self, alternatives: Iterable[str]) -> int:
        """Return the number of the element with these alternatives."""
        words = tuple(sorted(self._resolve(alternatives)))
        if words not in self._numbers:
            number = self._numbers[words] = len(self._numbers)
            for word in words:
                self._add(word, number)
        return self._numbers[words]

    def reader(self, speller: Speller) -> Callable[[str], Known]:
        """Return what says which elements a word is; ``speller`` finds the word that a misspelt one was meant to be."""

        @lru_cache(maxsize=_REMEMBERED)
        def known(word: str) -> Known:
            found = self._known(word)
            if not found and (plain := unleet(word)) != word:
                found = self._known(plain)
            if not found and (meant := speller(unleet(word))):
                found = self._known(meant)
            return Known(tuple(found), sum(1 << element for element in found), tuple(found & self.several.keys()))

        return known

    def _add(self, word: str, number: int) -> None:
        if "_" in word:
            parts = word.split("_")
            words = tuple(self.element([part]) for part in parts)
            rarest = words[parts.index(max(parts, key=len))]
            self.several.setdefault(rarest, {}).setdefault(words, []).append(number)
        elif word.startswith("#"):
            self._at_least.setdefault(int(word.strip("#+")), set()).add(number)
        else:
            self._literal.setdefault(word, set()).add(number)

    def _known(self, word: str) -> set[int]:
        found = set(self._literal.get(word, ()))
        if word.isdecimal():
            value = int(word[:9])  # more digits count no more
            found.update(number for least, numbers in self._at_least.items() if value >= least for number in numbers)
        return found

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
