"""The knowledge base: reviewed Markdown articles, searched with BM25, read again when they change."""

from orchestrator.knowledge_base.articles import Article, article_ids, load_articles, packaged_folder
from orchestrator.knowledge_base.base import Hit, KnowledgeBase
from orchestrator.knowledge_base.words import Features

__all__ = ["Article", "Features", "Hit", "KnowledgeBase", "article_ids", "load_articles", "packaged_folder"]
