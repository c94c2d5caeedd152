"""The knowledge base: ``text -> articles, best first``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from orchestrator.knowledge_base.articles import Article
from orchestrator.knowledge_base.index import Index, weighted
from orchestrator.knowledge_base.reload import Watched
from orchestrator.knowledge_base.typos import WEIGHT, Typos
from orchestrator.knowledge_base.words import ALSO_WEIGHT, Features, Words

THRESHOLD = Path(str(resources.files("orchestrator.knowledge_base") / "threshold.json"))
LIMIT = 3  # articles shown: the answer and two to see also
HALF_EVIDENCE = 80.0  # the BM25 score that is half of all evidence, high for a message; from 40 to 160 it makes no difference
SEE_ALSO = 0.5  # of the best score: on dev and calibration hardly any article below that answers the row
CHECK_EVERY_S = 5.0  # a hundred `stat` calls take about half a millisecond, so not for every message


@dataclass(frozen=True)
class Hit:
    """An article found. ``score`` is 0 to 1: the more, the larger the part of the message it covers and the more that is."""

    article: Article
    score: float


class KnowledgeBase:
    """Articles behind a search index. Safe for threads; with ``open`` it follows its folder."""

    def __init__(self, articles: Sequence[Article], *, features: Features | None = None, threshold: float | None = None) -> None:
        """Index the articles; ``threshold`` is the least score of an answer, as stored beside this file if None."""
        self._features = features or Features()
        self._words = Words(self._features)
        self.threshold = stored_threshold() if threshold is None else threshold
        self._use(articles)
        self._watched: Watched | None = None

    @classmethod
    def open(cls, folder: Path, *, check_every_s: float = CHECK_EVERY_S) -> KnowledgeBase:
        """Index the articles of a folder, and again when one is changed, added or removed.

        The folder is looked at by ``search``, at most every ``check_every_s`` seconds (``math.inf``: never, for a server that
        calls ``refresh`` in a thread of its own, since reading all articles again takes about 0.2 s). Raises ``ValueError`` with
        file:line when an article is not valid now; later the old index is kept, and ``problem`` says what is wrong.
        """
        watched = Watched(folder, check_every_s)
        base = cls(watched.read())
        base._watched = watched
        return base

    @property
    def articles(self) -> tuple[Article, ...]:
        """The articles that are searched now."""
        return self._searchable.articles

    @property
    def problem(self) -> str | None:
        """Why the folder's present articles are not in use, with file and line; None when they are."""
        return self._watched.problem if self._watched else None

    def refresh(self) -> None:
        """Look at the folder now, and use its articles if they have changed and are valid; without a folder nothing happens."""
        if self._watched:
            self._watched.refresh(self._use, at_once=True)

    def search(self, text: str, *, limit: int = LIMIT) -> list[Hit]:
        """Return up to ``limit`` articles, best first; none when the best one is below the threshold."""
        hits = self.rank(text, limit=limit)
        if not hits or hits[0].score < self.threshold:
            return []
        return [hit for hit in hits if hit.score >= hits[0].score * SEE_ALSO]

    def rank(self, text: str, *, limit: int = LIMIT) -> list[Hit]:
        """Return the ``limit`` best articles that share a word with the text, whatever their score."""
        if self._watched:
            self._watched.refresh(self._use)
        searchable = self._searchable
        gains, most = searchable.index.scores(self._query(searchable, text))
        best = np.argsort(-gains, kind="stable")[:limit]
        return [Hit(searchable.articles[at], _score(float(gains[at]), most)) for at in best if gains[at] > 0]

    def _use(self, articles: Sequence[Article]) -> None:
        index = Index(articles, self._words)
        self._searchable = _Searchable(tuple(articles), index, Typos(index.vocabulary))

    def _query(self, searchable: _Searchable, text: str) -> dict[str, float]:
        """Return the terms to look for, with their weights: those written, what misspelled ones stand for, and related ones."""
        known, typos = searchable.index.vocabulary, searchable.typos
        query: dict[str, float] = {}
        for term, weight in weighted(self._words.terms(text)).items():
            nearest = typos.nearest(term) if self._features.typos and term not in known else None
            query[nearest or term] = max(weight * WEIGHT if nearest else weight, query.get(nearest or term, 0.0))
        for term, weight in list(query.items()):
            for related in self._words.related(term):
                query[related] = max(weight * ALSO_WEIGHT, query.get(related, 0.0))
        return query


@dataclass(frozen=True)
class _Searchable:
    """Articles with their index. It is exchanged whole and never changed, so that a search needs no lock."""

    articles: tuple[Article, ...]
    index: Index
    typos: Typos


def _score(gain: float, most: float) -> float:
    """Return the geometric mean of the share of the best attainable BM25 score and a saturating function of the score itself.

    The share alone favours messages of one known word, the score alone long ones. Of the forms tried on dev and calibration
    this one told right answers from wrong ones best (docs/knowledge.md).
    """
    return math.sqrt(gain / most * gain / (gain + HALF_EVIDENCE))


@cache
def stored_threshold() -> float:
    """Return the threshold that ``evals.workflows.retrieval.choose_threshold`` chose; its figures stand beside it in the file."""
    return float(json.loads(THRESHOLD.read_text(encoding="utf-8"))["threshold"])
