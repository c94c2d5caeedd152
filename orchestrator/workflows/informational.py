"""Answer a question from the knowledge base, with its source; otherwise offer contact options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.knowledge_base import Hit, KnowledgeBase
from orchestrator.schema import Category, Classification, Message, NextStep, WorkflowResult

CONTACT = (
    "We have no article on this. Our pharmacists answer every day from 8 am to 10 pm by phone and chat; "
    "you can also leave a message and we will call you back."
)


@dataclass(frozen=True)
class Informational:
    """Search the articles and answer with the best ones."""

    blocking: ClassVar[bool] = False
    knowledge: KnowledgeBase

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:  # noqa: ARG002  # as all workflows
        """Return the best article's text with its source and what to see also, or contact options when none fits."""
        found = self.knowledge.search(message.text)
        step = NextStep(action="answer", message=_answer(found)) if found else NextStep(action="contact_options", message=CONTACT)
        return WorkflowResult(workflow=Category.INFORMATIONAL, next_step=step, details={"articles": [_cited(hit) for hit in found]})


def _answer(found: list[Hit]) -> str:
    best = found[0].article
    parts = [best.body, f"Source: {best.title} ({best.source}, reviewed {best.reviewed})"]
    if others := [hit.article.title for hit in found[1:]]:
        parts.append(f"See also: {'; '.join(others)}")
    return "\n\n".join(parts)


def _cited(hit: Hit) -> dict[str, str | float]:
    article = hit.article
    return {
        "id": article.id,
        "title": article.title,
        "source": article.source,
        "reviewed": article.reviewed,
        "score": round(hit.score, 3),
    }
