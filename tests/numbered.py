"""Numbered messages, each written under an idempotency key of its number, and the check that a database holds them whole.

Even numbers are service messages with a ticket, odd ones safety messages with a compliance record and an escalation: each number
owes the database exactly one outbox message and one audit event.
"""

import os
from collections import Counter
from collections.abc import Iterable

from sqlalchemy import select

from orchestrator.errors import ConflictError
from orchestrator.schema import (
    Category,
    Message,
    Outcome,
)
from orchestrator.store import tables
from orchestrator.store.checkpoints import HEAD, read_checkpoints
from orchestrator.store.database import reading
from orchestrator.store.ledger import Idempotency, Ledger
from orchestrator.testing_outcomes import make_outcome

CLIENT = "numbered"


def message(number: int) -> Message:
    words = "please refund order ORD-100234" if number % 2 == 0 else "my lips are swollen since the new tablets"
    return Message(text=f"{words} ({number})", metadata={"customer_id": f"customer-{number}"})


def idempotency(number: int) -> Idempotency:
    return Idempotency(client=CLIENT, key=f"number-{number}", body_hash=f"{number:064d}")


def outcome(number: int, request_id: str) -> Outcome:
    return make_outcome(request_id, Category.SERVICE_ACTION if number % 2 == 0 else Category.SAFETY_COMPLIANCE)


def write(ledger: Ledger, number: int, request_id: str) -> Outcome:
    """Write a number as the orchestrator does: look the key up, write, and on a conflict take what was written before."""
    key = idempotency(number)
    if before := ledger.recorded(key):
        return before
    new = outcome(number, request_id)
    try:
        ledger.record(message(number), new, key)
    except ConflictError:
        before = ledger.recorded(key)
        assert before is not None
        return before
    return new


def held_numbers(ledger: Ledger) -> set[int]:
    """The numbers a database holds, once it is certain that each is there whole and once, and nothing else, and that the chain holds."""
    with reading(ledger.engine) as connection:

        def column(of, *, where=None) -> list[str]:
            return list(connection.scalars(select(of) if where is None else select(of).where(where)))

        interaction = tables.Interaction
        everything = column(interaction.request_id)
        service = column(interaction.request_id, where=interaction.category == Category.SERVICE_ACTION.value)
        safety = column(interaction.request_id, where=interaction.category == Category.SAFETY_COMPLIANCE.value)
        by_number = {int(row.key.removeprefix("number-")): row.request_id for row in connection.execute(select(tables.IdempotencyKey))}
        told = [f"ticket.opened:{one}" for one in service] + [f"escalation.opened:{one}" for one in safety]
        assert Counter(by_number.values()) == Counter(everything), "an interaction without its number, or a number twice"
        assert set(column(interaction.request_id, where=interaction.redacted_text == "")) == set()
        assert Counter(column(tables.Ticket.request_id)) == Counter(service)
        assert Counter(column(tables.ComplianceRecord.request_id)) == Counter(safety)
        assert Counter(column(tables.Escalation.request_id)) == Counter(safety)
        assert Counter(column(tables.OutboxMessage.key)) == Counter(told)
        assert set(safety) <= set(column(tables.DataKey.request_id)) <= set(everything)
        assert {id_ for number, id_ in by_number.items() if number % 2 == 0} == set(service)
    events = list(ledger.events())
    assert [number for number, _ in events] == list(range(1, len(events) + 1)), "the chain's numbers have a gap"
    assert Counter(event["request_id"] for _, event in events) == Counter(everything), "a row without its audit event, or the reverse"
    head = read_checkpoints(ledger.checkpoints_dir / HEAD)
    assert (head[-1].id if head else 0) <= len(events), "a checkpoint is ahead of the chain"
    assert ledger.verify() == []
    return set(by_number)


def assert_holds(url: str, acknowledged: Iterable[int]) -> set[int]:
    """The numbers a database holds, opened anew; each acknowledged one is among them."""
    ledger = Ledger.at(url, os.environ)
    try:
        held = held_numbers(ledger)
    finally:
        ledger.close()
    assert set(acknowledged) <= held, "something acknowledged was lost"
    return held
