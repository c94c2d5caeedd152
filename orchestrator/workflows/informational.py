"""Answer a question from the knowledge base, with its source; otherwise offer contact options."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.knowledge_base import KnowledgeBase
from orchestrator.schema import Category, Classification, Message, NextStep, WorkflowResult

CONTACT = (
    "We have no article on this. Our pharmacists answer every day from 8 am to 10 pm by phone and chat; "
    "you can also leave a message and we will call you back."
)


@dataclass(frozen=True)
class Informational:
    """Search the articles and answer with the best ones."""

    knowledge: KnowledgeBase

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:  # noqa: ARG002  # as all workflows
        """Return the best article's text, or contact options when none fits."""
        found = self.knowledge.search(message.text)
        articles = [
            {"id": article.id, "title": article.title, "source": article.source, "score": round(score, 3)} for article, score in found
        ]
        if found:
            best = found[0][0]
            step = NextStep(action="answer", message=f"{best.body}\n\nSource: {best.title} ({best.source})")
        else:
            step = NextStep(action="contact_options", message=CONTACT)
        return WorkflowResult(workflow=Category.INFORMATIONAL, next_step=step, details={"articles": articles})
