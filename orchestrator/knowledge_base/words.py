"""Words as the search sees them: folded, without stopwords, synonyms made one, stemmed.

``synonyms.yaml`` and ``stopwords.yaml`` beside this file are the data; docs/knowledge.md says how to edit them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

ALSO_WEIGHT = 0.5  # a related term counts half of one that was written; chosen on dev
_WORD = re.compile(r"[a-z0-9]+")
_APOSTROPHE = re.compile("['\u2019`\u00b4]")
_UNSTEMMED = 3  # letters: shorter words lose nothing
_SUFFIXES = ("ing", "ed", "es", "s", "e")


@dataclass(frozen=True)
class Features:
    """What the search does beyond plain BM25; each can be turned off, to measure what it brings."""

    synonyms: bool = True
    stemming: bool = True
    typos: bool = True


class Words:
    """Turns text into terms."""

    def __init__(self, features: Features) -> None:
        """Read the word lists."""
        self._features = features
        stopwords = {fold(word) for words in _data("stopwords.yaml").values() for word in words}
        self._stopwords = stopwords | {self._stem(word) for word in stopwords}
        self._same: dict[str, list[tuple[list[str], list[str]]]] = {}  # by first word: (words written, words meant), longest first
        self._also: dict[str, tuple[str, ...]] = {}
        if features.synonyms:
            data = _data("synonyms.yaml")
            groups = [*data["same"].items(), *data["spanish"].items()]
            for written, meant in ((_split(variant), _split(term)) for term, variants in groups for variant in variants):
                self._same.setdefault(written[0], []).append((written, meant))
            for phrases in self._same.values():
                phrases.sort(key=lambda phrase: -len(phrase[0]))
            pairs = [(written, kind) for kind, members in data["kinds"].items() for written in members]
            pairs += [(written, " ".join(more)) for written, more in data["also"].items()]
            for written, more in pairs:
                if len(of := self.terms(written)) == 1:
                    self._also[of[0]] = (*self._also.get(of[0], ()), *self.terms(more))

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order, repeated as often as they occur."""
        stems = (self._stem(word) for word in self._unified(_split(text)) if word not in self._stopwords and len(word) > 1)
        return [term for term in stems if term not in self._stopwords]

    def related(self, term: str) -> tuple[str, ...]:
        """Return the terms that a query with ``term`` also looks for, such as the class of a medicine."""
        return self._also.get(term, ())

    def _unified(self, words: list[str]) -> list[str]:
        """Replace every synonym, the longest first, by its group's own term."""
        unified, at = [], 0
        while at < len(words):
            for written, meant in self._same.get(words[at], ()):
                if words[at : at + len(written)] == written:
                    unified.extend(meant)
                    at += len(written)
                    break
            else:
                unified.append(words[at])
                at += 1
        return unified

    def _stem(self, word: str) -> str:
        return stem(word) if self._features.stemming else word


def fold(text: str) -> str:
    """Return lower-case text without accents and apostrophes: ``Alergía`` is ``alergia``, ``can't`` is ``cant``."""
    if text.isascii():
        return _APOSTROPHE.sub("", text.lower())
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHE.sub("", text).casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@cache
def stem(word: str) -> str:
    """Strip one English ending and a doubled consonant: ``tablets``, ``tablet``; ``cutting``, ``cut``; ``allergies``, ``allergy``.

    A light rule in the spirit of Harman's S stemmer (1991), with ``-ing``, ``-ed`` and ``-e`` besides.
    """
    if len(word) <= _UNSTEMMED or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ss", "us", "is")):
        return word
    for suffix in _SUFFIXES:
        root = word[: -len(suffix)]
        if word.endswith(suffix) and len(root) >= _UNSTEMMED:
            doubled = len(root) > _UNSTEMMED and root[-1] == root[-2] and root[-1] not in "aeiouls"
            return root[:-1] if doubled and suffix in {"ing", "ed"} else stem(root) if suffix == "s" else root
    return word


def _split(text: str) -> list[str]:
    return _WORD.findall(fold(text))


def _data(name: str) -> dict[str, Any]:
    text = (resources.files("orchestrator.knowledge_base") / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data
