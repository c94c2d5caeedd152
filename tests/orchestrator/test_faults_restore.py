"""An older backup is put back: that the chain's end is missing is found, also after new events have overtaken the signed head."""

import numbered
import pytest
from sqlalchemy import delete

from orchestrator.store.tables import AuditEvent


def lose_the_end(ledger, after):
    with ledger.engine.begin() as connection:
        connection.execute(delete(AuditEvent).where(AuditEvent.id > after))


@pytest.mark.parametrize("together", [1, 4, 9])
def test_what_a_backup_lacks_is_still_found_when_new_events_have_taken_its_place(ledger, together):
    for number in range(10):
        numbered.write(ledger, number, f"r{number}")
    lose_the_end(ledger, after=6)
    assert any("its end was cut off" in problem for problem in ledger.verify())
    for first in range(10, 28, together):
        many = range(first, first + together)
        futures = [ledger.submit(numbered.message(n), numbered.outcome(n, f"r{n}"), numbered.idempotency(n)) for n in many]
        assert [future.exception(timeout=30) for future in futures] == [None] * together
    assert ledger.verify() == ["audit event 10 is not the one that was signed"]
