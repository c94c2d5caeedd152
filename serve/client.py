"""Who asks: a client of the service and what it may do."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.schema import Record


class Scope(StrEnum):
    """What a client may do: send messages, work the escalation queue, or switch releases."""

    CLASSIFY = "classify"
    REVIEW = "review"
    ADMIN = "admin"


class Client(Record):
    """One client. ``requests_per_minute`` replaces the general limit where it is given."""

    id: str
    scopes: frozenset[Scope]
    requests_per_minute: int | None = None


ANYBODY = Client(id="anybody", scopes=frozenset(Scope))  # where keys are off: on loopback
