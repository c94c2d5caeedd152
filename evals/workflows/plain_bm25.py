"""The search as it was before, to compare with: BM25 over one text, English stopwords, a fixed least score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.knowledge_base import Article

MIN_SCORE = 2.0  # as it was
DEPTH = 10


class PlainBM25:
    """Titles and keywords count thrice; no synonyms, no stemming, no typos."""

    def __init__(self, articles: Sequence[Article]) -> None:
        """Index the articles."""
        import bm25s

        self._ids = [article.id for article in articles]
        self._index = bm25s.BM25()
        texts = [" ".join([*[article.title, " ".join(article.keywords)] * 3, article.body]) for article in articles]
        self._index.index(self._tokens(texts), show_progress=False)

    def rank(self, text: str) -> list[tuple[str, float]]:
        """Return the ids of the best articles with their scores, best first."""
        tokens = self._tokens([text])
        if not tokens.vocab:
            return []
        found, scores = self._index.retrieve(tokens, k=min(DEPTH, len(self._ids)), show_progress=False)
        return [(self._ids[at], score) for at, score in zip(found[0].tolist(), scores[0].tolist(), strict=True) if score > 0]

    @staticmethod
    def _tokens(texts: list[str]) -> Any:
        import bm25s

        return bm25s.tokenize(texts, stopwords="en", show_progress=False)
