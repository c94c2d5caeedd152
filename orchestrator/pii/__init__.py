"""Recognise personal data in messages: ``text -> spans``. Pure, and linear in the length of the text.

``kinds`` says what there is, ``reading`` splits a text into words, each other module recognises one kind or family, and ``finder``
puts them in order. What to do with the spans is ``orchestrator.redact``'s business.
"""

from orchestrator.pii.finder import find
from orchestrator.pii.kinds import Kind, Span

__all__ = ["Kind", "Span", "find"]
