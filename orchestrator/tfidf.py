"""TF-IDF of single texts as scikit-learn's ``TfidfVectorizer`` computes it, to the last bit, without scikit-learn.

Importing that takes seconds and 130 MB, and its ``transform`` milliseconds a text. To the last bit, for what is served is what was
evaluated, and the order of the nearest examples is part of a request's key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.int32]
Values = NDArray[np.float64]
_WORD = re.compile(r"\b\w\w+\b")
_REMEMBERED = 8_192  # words whose n-grams are kept, in about 2 MB: customers use the same ones again and again


class Tfidf:
    """The known n-grams of a text, weighted (1 + ln count) x idf and of length 1 together: ``text -> (columns, values)``."""

    def __init__(self, terms: Sequence[str], idf: Sequence[float] | Values, *, analyzer: str, ngram_range: tuple[int, int]) -> None:
        """Know ``terms``, each by its position; ``analyzer`` is ``word``, or ``char_wb`` for characters within words."""
        known = {term: column for column, term in enumerate(terms)}
        self._idf = np.array(idf, dtype=np.float64)
        self._columns = _words(known, *ngram_range) if analyzer == "word" else _characters(known, *ngram_range)

    def __len__(self) -> int:
        """Return the number of terms known."""
        return len(self._idf)

    def __call__(self, text: str) -> tuple[Columns, Values]:
        """Return the columns of the terms found, in increasing order, and their values."""
        columns, counts = np.unique(self._columns(text), return_counts=True)
        return columns, unit(self._weights(columns, counts))

    def in_order(self, text: str) -> tuple[Columns, Values]:
        """Return the columns of the terms found, in the order of the text, and their weights, not yet of length 1."""
        columns, first, counts = np.unique(self._columns(text), return_index=True, return_counts=True)
        order = np.argsort(first)
        columns = columns[order]
        return columns, self._weights(columns, counts[order])

    def _weights(self, columns: Columns, counts: NDArray[np.intp]) -> Values:
        return np.asarray((np.log(counts.astype(np.float64)) + 1.0) * self._idf[columns])


class Corpus:
    """Texts in the space of their own words and pairs of words: ``text -> cosine with each``, of shape (texts,)."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Weigh the words by what share of ``texts`` holds them."""
        met: dict[str, int] = {}  # terms in the order in which they are met: in that order scikit-learn adds
        counts = [Counter(met.setdefault(term, len(met)) for term in _word_ngrams(text, 1, 2)) for text in texts]
        terms = sorted(met)
        column_of = np.empty(len(met), dtype=np.int32)
        column_of[[met[term] for term in terms]] = np.arange(len(met))
        texts_with = np.bincount([at for count in counts for at in count], minlength=len(met)).astype(np.float64)
        idf = np.log((len(texts) + 1.0) / (texts_with + 1.0)) + 1.0  # in the order of meeting
        rows = [np.array(sorted(count), dtype=np.int32) for count in counts]
        often = [np.array([count[at] for at in sorted(count)], dtype=np.float64) for count in counts]
        self._row = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        self._column = column_of[np.concatenate(rows)]
        self._value = np.concatenate([unit((np.log(times) + 1.0) * idf[row]) for row, times in zip(rows, often, strict=True)])
        self._texts = len(texts)
        self._embed = Tfidf(terms, idf[[met[term] for term in terms]], analyzer="word", ngram_range=(1, 2))

    def __call__(self, text: str) -> Values:
        """Return the cosine of a text with each of the corpus."""
        columns, values = self._embed(text)
        dense = np.zeros(len(self._embed))
        dense[columns] = values
        # bincount adds one by one in order, as a sparse product does; a dense one would add in another.
        return np.bincount(self._row, weights=self._value * dense[self._column], minlength=self._texts).astype(np.float64, copy=False)


def unit(values: Values) -> Values:
    """Return values scaled to length 1; the squares are added one by one, as scikit-learn does, where ``sum`` would be more exact."""
    return values / math.sqrt(np.add.accumulate(values * values)[-1]) if len(values) else values


def _words(known: dict[str, int], least: int, most: int) -> Callable[[str], Columns]:
    def columns(text: str) -> Columns:
        found = [column for column in map(known.get, _word_ngrams(text, least, most)) if column is not None]
        return np.array(found, dtype=np.int32)

    return columns


def _word_ngrams(text: str, least: int, most: int) -> list[str]:
    words: list[str] = _WORD.findall(text.lower())
    ngrams = words.copy() if least == 1 else []
    for n in range(max(least, 2), most + 1):
        ngrams += map(" ".join, zip(*(words[at:] for at in range(n)), strict=False))
    return ngrams


def _characters(known: dict[str, int], least: int, most: int) -> Callable[[str], Columns]:
    """Characters never reach over a word's end, so the n-grams of a text are those of its words, each of which is read once."""

    @lru_cache(maxsize=_REMEMBERED)
    def columns_of(word: str) -> bytes:
        padded = f" {word} "
        longest = min(most, max(least, len(padded)))  # a word shorter than that counts once, whole
        ngrams = (padded[at : at + n] for n in range(least, longest + 1) for at in range(max(len(padded) - n, 0) + 1))
        return np.array([known[ngram] for ngram in ngrams if ngram in known], dtype=np.int32).tobytes()

    def columns(text: str) -> Columns:
        return np.frombuffer(b"".join(map(columns_of, text.lower().split())), dtype=np.int32)

    return columns
