"""A BM25 index over the fields of articles, as one matrix of what every term adds to every article's score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.knowledge_base.articles import Article
from orchestrator.knowledge_base.words import Words

# Each field has a BM25 of its own, so a term of a short title already weighs more than one of a long body. On dev and calibration
# no weights from 0.5 to 2 did better than equal ones.
FIELD_WEIGHTS = {"title": 1.0, "keywords": 1.0, "body": 1.0}


class Index:
    """``terms -> scores``: BM25 (Robertson and Zaragoza, 2009) of each field, weighted and added."""

    def __init__(self, articles: Sequence[Article], words: Words) -> None:
        """Index the articles."""
        fields = [_field(article) for article in articles]
        terms = [{name: words.terms(text) for name, text in field.items()} for field in fields]
        self.vocabulary = {term: row for row, term in enumerate(sorted({t for field in terms for ts in field.values() for t in ts}))}
        self._gains = np.zeros((len(self.vocabulary), len(articles)), dtype=np.float32)  # (terms, articles)
        for name, weight in FIELD_WEIGHTS.items():
            self._add(weight, [field[name] for field in terms])
        self._best = self._gains.max(axis=1, initial=0.0)  # (terms,): the most that a term can add to one article
        self.unknown = float(np.median(self._best)) if len(self._best) else 1.0  # of a term that no article has

    def scores(self, query: Mapping[str, float]) -> tuple[NDArray[np.float32], float]:
        """Return the articles' scores for the weighted terms, and the most that any article could have scored."""
        rows = [self.vocabulary[term] for term in query if term in self.vocabulary]
        weights = np.array([weight for term, weight in query.items() if term in self.vocabulary], dtype=np.float32)
        missing = sum(weight for term, weight in query.items() if term not in self.vocabulary)
        return weights @ self._gains[rows], float(weights @ self._best[rows]) + self.unknown * missing

    def _add(self, weight: float, documents: list[list[str]]) -> None:
        import bm25s  # imports much; only those who search need it

        bm25 = bm25s.BM25()
        bm25.index(documents, show_progress=False)
        found = bm25.scores  # a sparse matrix by columns: the articles of term t are at indptr[t] to indptr[t + 1]
        for term, column in bm25.vocab_dict.items():
            if term in self.vocabulary:
                here = slice(found["indptr"][column], found["indptr"][column + 1])
                self._gains[self.vocabulary[term], found["indices"][here]] += weight * found["data"][here]


def weighted(terms: Sequence[str]) -> dict[str, float]:
    """Return every term with the weight 1 + ln(how often it was written)."""
    return {term: 1.0 + float(np.log(count)) for term, count in Counter(terms).items()}


def _field(article: Article) -> dict[str, str]:
    return {"title": article.title, "keywords": " . ".join(article.keywords), "body": article.body}
