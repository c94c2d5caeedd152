"""The knowledge base: Markdown articles with front matter, searched with BM25."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from orchestrator.schema import Record

if TYPE_CHECKING:
    import bm25s

MIN_SCORE = 2.0  # BM25 score below which nothing is better than something; set on the dev split


class Article(Record):
    """One reviewed answer."""

    id: str
    title: str
    keywords: tuple[str, ...]
    source: str
    reviewed: str
    body: str


class KnowledgeBase:
    """Articles behind a BM25 index (Robertson and Zaragoza, 2009); titles and keywords count thrice."""

    def __init__(self, articles: list[Article]) -> None:
        """Index the articles."""
        import bm25s

        self._articles = articles
        texts = [" ".join([*[a.title, " ".join(a.keywords)] * 3, a.body]) for a in articles]
        self._index = bm25s.BM25()
        self._index.index(_tokens(texts), show_progress=False)

    def search(self, text: str, *, limit: int = 2) -> list[tuple[Article, float]]:
        """Return up to ``limit`` articles with their scores, best first; none when nothing fits."""
        tokens = _tokens([text])
        if not tokens.vocab:
            return []
        found, scores = self._index.retrieve(tokens, k=min(limit, len(self._articles)), show_progress=False)
        pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return [(self._articles[index], score) for index, score in pairs if score >= MIN_SCORE]


def load_articles(folder: Path | None = None) -> list[Article]:
    """Read all articles; ``folder`` defaults to the packaged ones.

    Raises ``ValueError`` naming the article whose front matter is not valid.
    """
    folder = folder or _folder()
    articles = []
    for path in sorted(folder.glob("*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        fields = yaml.safe_load(front)
        fields["reviewed"] = str(fields["reviewed"])
        article = Article(**fields, body=body.strip())
        if article.id != path.stem:
            raise ValueError(f"{path.name}: the id is {article.id!r}; make it equal to the file's name")
        articles.append(article)
    return articles


@cache
def article_ids() -> frozenset[str]:
    """Return the ids of the packaged articles."""
    return frozenset(path.stem for path in _folder().glob("*.md"))


def _folder() -> Path:
    return Path(str(resources.files("orchestrator") / "knowledge"))


def _tokens(texts: list[str]) -> bm25s.tokenization.Tokenized:
    import bm25s

    return bm25s.tokenize(texts, stopwords="en", show_progress=False)
