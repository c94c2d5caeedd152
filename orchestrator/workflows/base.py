"""What the three workflows share: ``(Message, Classification) -> WorkflowResult``."""

from __future__ import annotations

from typing import Protocol

from orchestrator.schema import Classification, Message, WorkflowResult


class Workflow(Protocol):
    """Anything that decides what to do for a classified message. It has no side effects.

    What must be kept is named in the result's details; the engine writes it in one transaction.
    """

    @property
    def blocking(self) -> bool:
        """Say whether a call may wait for another machine: the engine then runs it in a thread."""
        ...

    def __call__(self, message: Message, classification: Classification, /) -> WorkflowResult:
        """Return the next step and its details."""
        ...
