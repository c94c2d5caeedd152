"""The clock is set back by hours: orders are kept, the chain holds, nothing waits for the clock to come back, nobody is paged too late."""

import os
from datetime import UTC, datetime, timedelta

import numbered
import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import Topic

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPICS = [Topic.TICKET_OPENED, Topic.ESCALATION_OPENED, Topic.ESCALATION_OVERDUE]


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path, clock):
    url = f"sqlite:///{tmp_path}/clock.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = Ledger.at(url, os.environ, clock=clock)
    yield opened
    opened.close()


def write(ledger, clock, numbers):
    for number in numbers:
        numbered.write(ledger, number, f"r{number:02d}")
        clock.now += timedelta(seconds=1)


def test_audit_events_and_deliveries_keep_their_order_and_the_chain_holds(ledger, clock):
    write(ledger, clock, range(6))
    clock.now -= timedelta(hours=2)
    write(ledger, clock, range(6, 12))
    clock.now -= timedelta(days=1)
    write(ledger, clock, range(12, 18))
    expected = [f"r{number:02d}" for number in range(18)]
    assert [event["request_id"] for _, event in ledger.events()] == expected
    assert [due.request_id for due in ledger.take_due(TOPICS, limit=100, lease_s=30)] == expected
    assert numbered.held_numbers(ledger) == set(range(18))


def test_a_message_that_was_never_tried_is_due_at_once(ledger, clock):
    write(ledger, clock, range(2))
    clock.now -= timedelta(minutes=20)
    assert len(ledger.take_due(TOPICS, limit=10, lease_s=30)) == 2


def test_no_retry_and_no_lease_waits_for_hours(ledger, clock):
    write(ledger, clock, range(2))
    leased, failed = ledger.take_due(TOPICS, limit=10, lease_s=30)
    ledger.fail(failed, "503", retry_at=clock.now + timedelta(minutes=5))
    clock.now -= timedelta(hours=2)
    assert {due.id for due in ledger.take_due(TOPICS, limit=10, lease_s=30)} == {leased.id, failed.id}
    assert ledger.take_due(TOPICS, limit=10, lease_s=30) == []


def test_a_pause_of_an_hour_is_kept_while_the_clock_goes_on(ledger, clock):
    write(ledger, clock, [0])
    (due,) = ledger.take_due(TOPICS, limit=10, lease_s=30)
    ledger.fail(due, "503", retry_at=clock.now + timedelta(hours=1))
    assert ledger.take_due(TOPICS, limit=10, lease_s=30) == []
    clock.now += timedelta(minutes=61)
    assert [again.id for again in ledger.take_due(TOPICS, limit=10, lease_s=30)] == [due.id]


def test_the_queue_keeps_its_order_and_shows_what_waits_for_an_unknown_time_as_overdue(ledger, clock):
    write(ledger, clock, [1, 3])
    clock.now -= timedelta(hours=2)
    write(ledger, clock, [5, 7])
    waiting = ledger.escalations()
    assert [one.request_id for one in waiting] == ["r01", "r03", "r05", "r07"]
    assert [one.overdue for one in waiting] == [True, True, False, False]


def test_an_escalation_from_before_the_clock_was_set_back_is_paged_at_once_and_once(ledger, clock):
    write(ledger, clock, [1])
    assert ledger.alert_overdue() == 0
    clock.now -= timedelta(hours=2)
    write(ledger, clock, [3])
    assert ledger.alert_overdue() == 1
    assert ledger.alert_overdue() == 0
    clock.now += timedelta(hours=4)
    assert ledger.alert_overdue() == 1  # the second one, by its own time
    assert ledger.verify() == []
