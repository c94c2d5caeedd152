import asyncio
import dataclasses
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from support import ROOT

from orchestrator.destinations import Destination, Destinations
from orchestrator.errors import OrchestratorError
from orchestrator.lane import ATTEMPTS, backoff_s
from orchestrator.relay import LEASE_MARGIN_S, Delivered, Relay, open_relay
from orchestrator.schema import (
    Category,
    Message,
    Outcome,
)
from orchestrator.store import tables
from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import Due, Topic
from orchestrator.testing_outcomes import make_outcome
from orchestrator.testing_receiver import Fault, Receiver, Said
from orchestrator.webhooks import Answer, Webhook, body_of, retry_after_s, sign, verify_signature

SECRET = "a secret of the tests"  # noqa: S105  # it protects nothing
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TITLE = "Refund for order 4432"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger: Ledger, clock: Clock):
    """A ledger on each database, on a clock of the test's own."""
    clocked = dataclasses.replace(ledger, clock=clock)
    yield clocked
    clocked.close()


@pytest.fixture
def sqlite(sqlite: Ledger, clock: Clock):
    """A ledger on SQLite, on that clock, for what is the same on each database."""
    clocked = dataclasses.replace(sqlite, clock=clock)
    yield clocked
    clocked.close()


def outcome(request_id: str, category: Category) -> Outcome:
    ticket = {"ticket": {"intent": "refund", "title": TITLE, "slots": {}}}
    return make_outcome(request_id, category, details=ticket if category == Category.SERVICE_ACTION else None)


def write(ledger: Ledger, *request_ids: str, category: Category = Category.SERVICE_ACTION) -> None:
    """Put one message into the outbox for each id: a ticket, or the page of a safety message."""
    for future in [ledger.submit(Message(text="hello"), outcome(one, category)) for one in request_ids]:
        future.result()


def tickets_to(receiver: Receiver, **more: str) -> Destinations:
    return Destinations.of({"WEBHOOK_TICKETS_URL": receiver.url, "WEBHOOK_SECRET": SECRET, **more})


def client_of_http() -> httpx2.AsyncClient:
    """A client like any other, without the certificates, whose loading takes longer than most tests."""
    return httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def deliver(ledger: Ledger, destinations: Destinations, **options) -> Delivered:
    """One pass of a new relay."""

    async def once() -> Delivered:
        async with client_of_http() as client:
            return await Relay(ledger, destinations, client, Random(1), **options).run_once()

    return asyncio.run(once())


def until(true: Callable[[], bool], *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.01)


def stored(ledger: Ledger) -> dict[str, tables.OutboxMessage]:
    with ledger.engine.connect() as connection:
        return {row.key: row for row in connection.execute(select(tables.OutboxMessage.__table__))}


@contextmanager
def lost_database(ledger: Ledger):
    """Yield an event: while it is set, the database answers nothing."""
    lost = threading.Event()

    def answer(_connection, _cursor, statement, *_):
        if lost.is_set():
            raise OperationalError(statement, None, ConnectionError("scripted: the server closed the connection"))

    event.listen(ledger.engine, "before_cursor_execute", answer)
    yield lost
    event.remove(ledger.engine, "before_cursor_execute", answer)


# --- what is sent


def test_a_receiver_is_told_what_happened_under_a_signature_that_holds(ledger, clock):
    write(ledger, "r1")
    with Receiver(secret=SECRET, clock=clock) as receiver:
        assert deliver(ledger, tickets_to(receiver)) == Delivered(delivered=1)
    (received,) = receiver.requests
    ticket = {"intent": "refund", "title": TITLE, "slots": {}}
    assert received.told == {
        "id": "ticket.opened:r1",
        "topic": "ticket.opened",
        "request_id": "r1",
        "created_at": NOON.isoformat(),
        "payload": ticket,
    }
    assert received.key == "ticket.opened:r1"
    assert received.headers["Content-Type"] == "application/json"
    row = stored(ledger)["ticket.opened:r1"]
    assert (row.status, row.attempts, row.last_error) == ("delivered", 1, None)
    assert ledger.outbox_counts() == {"pending": 0, "delivered": 1, "dead": 0}


def test_a_signature_holds_for_its_secret_its_bytes_and_its_time_alone():
    timestamp, body = str(int(NOON.timestamp())), b'{"id":"k"}'
    signature = sign(SECRET, timestamp, body)
    assert verify_signature(SECRET, timestamp, body, signature, NOON)
    assert verify_signature(SECRET, timestamp, body, signature, NOON + timedelta(seconds=300))
    assert not verify_signature(SECRET, timestamp, body, signature, NOON + timedelta(seconds=301))
    assert not verify_signature(SECRET, timestamp, body, signature, NOON - timedelta(seconds=301))
    assert not verify_signature(SECRET, timestamp, body + b" ", signature, NOON)
    assert not verify_signature(SECRET, str(int(timestamp) + 1), body, signature, NOON)
    assert not verify_signature("another", timestamp, body, signature, NOON)


@pytest.mark.parametrize("wrong", ["", "sha256=", "sha256=é", "sha256=\udcff", "0" * 64])
def test_a_signature_of_any_form_is_refused_and_no_error(wrong):
    assert not verify_signature(SECRET, str(int(NOON.timestamp())), b"{}", wrong, NOON)


@pytest.mark.parametrize("timestamp", ["", "noon", "-1", "1e9", "٣", "\udcff", "9" * 5000])
def test_a_timestamp_that_is_none_is_refused_and_no_error_even_when_it_was_signed(timestamp):
    assert not verify_signature(SECRET, timestamp, b"{}", sign(SECRET, timestamp, b"{}"), NOON)


def test_the_receiver_of_the_documentation_takes_a_message_once_and_refuses_what_was_tampered_with(sqlite, clock, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.DOTALL)
    desk: dict[str, Any] = {}
    exec(example, desk)  # noqa: S102  # our own documentation
    clock.now = datetime.now(UTC)
    write(sqlite, "r1", "r2")
    with serving(desk["Desk"]) as url:
        to = Destinations.of({"WEBHOOK_TICKETS_URL": url, "WEBHOOK_SECRET": SECRET})
        assert deliver(sqlite, to) == Delivered(delivered=2)
        assert {"ticket.opened:r1", "ticket.opened:r2"} == desk["DONE"]
        again = message(1)
        for body, status in ((body_of(again), 409), (body_of(again) + b" ", 401)):
            timestamp = str(int(clock().timestamp()))
            headers = {"Idempotency-Key": again.key, "X-Timestamp": timestamp, "X-Signature": sign(SECRET, timestamp, body_of(again))}
            assert httpx2.post(url, content=body, headers=headers).status_code == status
        assert httpx2.post(url, content=b"{}").status_code == 401


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


# --- what the receiver's answer means: no database is needed for it


def message(number: int = 1) -> Due:
    return Due(
        id=number,
        key=f"ticket.opened:r{number}",
        topic=Topic.TICKET_OPENED,
        request_id=f"r{number}",
        payload={"title": TITLE},
        created_at=NOON,
        attempts=1,
    )


def answer_of(said: Said, *, timeout_s: float = 30.0) -> Answer:
    return asyncio.run(answer_at(said, timeout_s))


async def answer_at(said: Said, timeout_s: float) -> Answer:
    with Receiver(lambda *_: said) as receiver:
        settings = Destinations(secret=SECRET, timeout_s=timeout_s)
        to = Destination(name="tickets", url=receiver.url, topics=(Topic.TICKET_OPENED,))
        async with client_of_http() as client, asyncio.timeout(60):
            return await Webhook(to, settings, client, lambda: NOON)(message())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_success_and_a_message_known_already_are_delivered(status):
    assert answer_of(Said(status)) == Answer(delivered=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_what_the_receiver_will_never_take_is_final(status):
    assert answer_of(Said(status)) == Answer(delivered=False, error=f"HTTP {status}", final=True)


@pytest.mark.parametrize("status", [302, 307, 408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_and_no_redirect_is_followed(status):
    assert answer_of(Said(status, {"Location": "http://127.0.0.1:9/"})) == Answer(delivered=False, error=f"HTTP {status}")


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP_HEAD])
def test_a_receiver_that_does_not_come_to_an_answer_is_left_at_the_deadline(fault):
    assert answer_of(Said(fault=fault), timeout_s=0.2) == Answer(delivered=False, error="no answer within 0.2 s")


def test_a_receiver_that_drips_its_answer_is_left_at_the_deadline():
    answer_of(Said(fault=Fault.DRIP_BODY), timeout_s=0.2)  # that it returns is the promise


def test_a_receiver_that_said_yes_and_was_then_cut_off_has_the_message():
    assert answer_of(Said(fault=Fault.CUT_BODY)) == Answer(delivered=True)


def test_an_answer_without_end_is_not_read_to_the_end():
    assert answer_of(Said(fault=Fault.FLOOD)) == Answer(delivered=True)


@pytest.mark.parametrize("said", [Said(fault=Fault.CUT), Said(fault=Fault.GARBAGE), Said(500, body=TITLE.encode())])
def test_a_failure_says_its_kind_and_nothing_of_the_message(said):
    answer = answer_of(said)
    assert not answer.delivered
    assert not answer.final
    assert answer.error
    assert TITLE not in answer.error
    assert "nice to meet you" not in answer.error


def test_a_port_where_nobody_listens_is_tried_again():
    with Receiver() as gone:
        to = Destination(name="tickets", url=gone.url, topics=(Topic.TICKET_OPENED,))

    async def post() -> Answer:
        async with client_of_http() as client:
            return await Webhook(to, Destinations(secret=SECRET), client, lambda: NOON)(message())

    assert asyncio.run(post()) == Answer(delivered=False, error="ConnectError: connection lost or refused")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("Mon, 02 Mar 2026 12:01:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("9" * 400, float("inf")),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("٣", None),
        ("Mon, 99 Mar 2026 12:01:00 GMT", None),
        ("Mon, 02 Mar 99999999999 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_anything_else_is_none(text, seconds):
    assert retry_after_s(text, NOON) == seconds


@given(attempts=st.integers(1, ATTEMPTS + 20), asked=st.none() | st.floats(0, allow_nan=False), seed=st.integers())
def test_the_wait_grows_to_an_hour_at_most_and_is_no_shorter_than_asked_for(attempts, asked, seed):
    wait_s = backoff_s(attempts, asked, Random(seed))
    asked_s = min(asked or 0.0, 3600.0)
    assert asked_s <= wait_s <= max(asked_s, min(2.0 ** (attempts - 1), 3600.0))


# --- the relay


def test_a_receiver_that_fails_and_recovers_is_told_once_it_has(ledger, clock):
    write(ledger, "r1")
    with Receiver(lambda _, number: Said(500 if number == 0 else 200)) as receiver:
        to = tickets_to(receiver)
        assert deliver(ledger, to) == Delivered(retried=1)
        assert stored(ledger)["ticket.opened:r1"].last_error == "HTTP 500"
        assert deliver(ledger, to) == Delivered()
        clock.advance(1)
        assert deliver(ledger, to) == Delivered(delivered=1)
        assert deliver(ledger, to) == Delivered()
    assert receiver.effects == ["ticket.opened:r1"]


@pytest.mark.parametrize("again", [Said(409), Said(200)])
def test_an_answer_that_is_lost_makes_a_repetition_with_the_same_key_and_bytes_and_one_effect(ledger, clock, again):
    write(ledger, "r1")
    with Receiver(lambda *_: Said(fault=Fault.CUT), again=again) as receiver:
        assert deliver(ledger, tickets_to(receiver)) == Delivered(retried=1)
        clock.advance(1)
        assert deliver(ledger, tickets_to(receiver)) == Delivered(delivered=1)
    first, second = receiver.requests
    assert (first.key, first.body) == (second.key, second.body)
    assert receiver.effects == [first.key]


def test_a_second_answer_to_one_message_is_not_taken_for_the_answer_to_the_next(sqlite):
    write(sqlite, "r1", "r2")
    with Receiver(lambda _, number: Said(fault=Fault.TWICE) if number == 0 else Said(503)) as receiver:
        assert deliver(sqlite, tickets_to(receiver), concurrency=1) == Delivered(delivered=1, retried=1)
    assert [one.told["request_id"] for one in receiver.requests] == ["r1", "r2"]
    assert receiver.effects == ["ticket.opened:r1"]


def test_a_receiver_that_is_gone_makes_a_dead_letter_that_can_be_redriven(ledger, caplog):
    write(ledger, "r1", "r2")
    with Receiver(lambda *_: Said(410)) as receiver:
        assert deliver(ledger, tickets_to(receiver)) == Delivered(dead=2)
        assert deliver(ledger, tickets_to(receiver)) == Delivered()
    first, second = ledger.dead_letters()
    assert (first.key, first.attempts, first.last_error) == ("ticket.opened:r1", 1, "HTTP 410")
    assert ledger.dead_letters(limit=1) == [first]
    assert "message ticket.opened:r1 is a dead letter after 1 attempts: HTTP 410" in caplog.text
    assert ledger.redrive([second.id]) == 1
    with Receiver() as receiver:
        assert deliver(ledger, tickets_to(receiver)) == Delivered(delivered=1)
        assert receiver.effects == [second.key]
        assert ledger.redrive() == 1
        assert deliver(ledger, tickets_to(receiver)) == Delivered(delivered=1)
    assert ledger.dead_letters() == []


def test_what_was_erased_before_it_was_delivered_is_not_redriven(ledger):
    ledger.record(Message(text="hello", metadata={"customer_id": "c1"}), outcome("r1", Category.SERVICE_ACTION))
    ledger.erase("c1", "dpo")
    assert [one.last_error for one in ledger.dead_letters()] == ["erased"]
    assert ledger.redrive() == 0
    with Receiver() as receiver:
        assert deliver(ledger, tickets_to(receiver)) == Delivered()


def test_a_message_is_dead_after_its_last_attempt_and_not_before(sqlite, clock):
    write(sqlite, "r1")
    with Receiver(lambda *_: Said(500)) as receiver:
        for _ in range(ATTEMPTS - 1):
            assert deliver(sqlite, tickets_to(receiver)) == Delivered(retried=1)
            clock.advance(3600)
        assert deliver(sqlite, tickets_to(receiver)) == Delivered(dead=1)
    assert len(receiver.requests) == ATTEMPTS


def test_a_receiver_that_asks_for_time_gets_it_up_to_an_hour(sqlite, clock):
    asked = {"ticket.opened:r1": "120", "ticket.opened:r2": "Mon, 02 Mar 2026 12:03:00 GMT", "ticket.opened:r3": "86400"}
    write(sqlite, "r1", "r2", "r3")
    with Receiver(lambda one, number: Said(429, {"Retry-After": asked[one.key]}) if number < 3 else Said()) as receiver:
        assert deliver(sqlite, tickets_to(receiver)) == Delivered(retried=3)
        for key, elapsed_s in zip(asked, (120, 180, 3600), strict=True):
            clock.now = NOON + timedelta(seconds=elapsed_s - 1)
            assert deliver(sqlite, tickets_to(receiver)) == Delivered()
            clock.advance(1)
            assert deliver(sqlite, tickets_to(receiver)) == Delivered(delivered=1)
            assert receiver.effects[-1] == key


def test_what_a_killed_relay_had_taken_is_delivered_when_its_lease_has_run_out(ledger, clock):
    write(ledger, "r1")
    with Receiver() as receiver:
        to = tickets_to(receiver)
        lease_s = to.timeout_s + LEASE_MARGIN_S
        assert len(ledger.take_due(to.topics, limit=50, lease_s=lease_s)) == 1  # and then it is killed
        clock.advance(lease_s - 1)
        assert deliver(ledger, to) == Delivered()
        clock.advance(1)
        assert deliver(ledger, to) == Delivered(delivered=1)
    assert stored(ledger)["ticket.opened:r1"].attempts == 2


def test_a_relay_whose_lease_ran_out_has_no_say_in_a_failure_but_has_in_a_delivery(ledger, clock):
    write(ledger, "r1")
    (slow,) = ledger.take_due([Topic.TICKET_OPENED], limit=1, lease_s=10)
    clock.advance(10)
    (quick,) = ledger.take_due([Topic.TICKET_OPENED], limit=1, lease_s=10)
    ledger.fail(slow, "HTTP 500", clock())
    assert ledger.take_due([Topic.TICKET_OPENED], limit=1, lease_s=10) == []
    ledger.fail(slow, "HTTP 410", None)
    assert ledger.dead_letters() == []
    ledger.settle(slow)
    ledger.fail(quick, "HTTP 500", clock())
    assert ledger.outbox_counts() == {"pending": 0, "delivered": 1, "dead": 0}


def test_messages_are_begun_in_the_order_of_their_ids_and_one_pass_takes_fifty(ledger):
    write(ledger, *(f"r{number:02d}" for number in range(53)))
    in_order = [key for key, _ in sorted(stored(ledger).items(), key=lambda item: item[1].id)]
    with Receiver() as receiver:
        assert deliver(ledger, tickets_to(receiver), concurrency=1) == Delivered(delivered=50)
        assert receiver.effects == in_order[:50]
        assert deliver(ledger, tickets_to(receiver), concurrency=1) == Delivered(delivered=3)
    assert receiver.effects == in_order


def test_eight_are_under_way_at_once_and_no_more(sqlite):
    write(sqlite, *(f"r{number}" for number in range(20)))
    eight = threading.Event()

    with Receiver(lambda *_: Said(when=eight)) as receiver:

        async def watched() -> Delivered:
            async with client_of_http() as client:
                once = asyncio.create_task(Relay(sqlite, tickets_to(receiver, WEBHOOK_TIMEOUT_S="60"), client).run_once())
                await asyncio.to_thread(receiver.wait_for, lambda one: len(one.requests) == 8)
                eight.set()
                return await once

        assert asyncio.run(watched()) == Delivered(delivered=20)
    assert receiver.peak == 8


def test_two_relays_at_once_deliver_each_message_once(ledger):
    write(ledger, *(f"r{number}" for number in range(40)))
    with Receiver() as receiver:

        async def both() -> list[Delivered]:
            async with client_of_http() as client:
                return await asyncio.gather(*(Relay(ledger, tickets_to(receiver), client).run_once() for _ in range(2)))

        one, other = asyncio.run(both())
    assert one.delivered + other.delivered == 40
    assert len(receiver.requests) == len(receiver.effects) == 40


def test_messages_without_a_receiver_wait(sqlite):
    write(sqlite, "r1")
    write(sqlite, "r2", category=Category.SAFETY_COMPLIANCE)
    with Receiver() as receiver:
        assert deliver(sqlite, tickets_to(receiver)) == Delivered(delivered=1)
    row = stored(sqlite)["escalation.opened:r2"]
    assert (row.status, row.attempts) == ("pending", 0)


# --- the relay as it runs


@contextmanager
def running(ledger: Ledger, destinations: Destinations, *, relays: int = 1):
    """Run relays in a thread of their own and yield what stops them; at the end they are stopped and have ended."""
    loop, stop, ended = asyncio.new_event_loop(), asyncio.Event(), []

    async def run() -> None:
        async with client_of_http() as client:
            made = [Relay(ledger, destinations, client, Random(1), poll_s=0.01, alert_every_s=0.01) for _ in range(relays)]
            await asyncio.gather(*(relay.run(stop) for relay in made))
        ended.append(True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield lambda: loop.call_soon_threadsafe(stop.set)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert ended, "the relay failed"


def test_a_ticket_desk_that_hangs_holds_up_no_page(sqlite):
    write(sqlite, *(f"r{number}" for number in range(10)))
    with ExitStack() as stack:
        paging = stack.enter_context(Receiver())
        desk = stack.enter_context(Receiver(lambda *_: Said(fault=Fault.HANG)))
        urls = {"WEBHOOK_TICKETS_URL": desk.url, "WEBHOOK_PAGING_URL": paging.url, "WEBHOOK_TIMEOUT_S": "60"}
        with running(sqlite, Destinations.of(urls | {"WEBHOOK_SECRET": SECRET})):
            desk.wait_for(lambda one: len(one.requests) == 8)
            write(sqlite, "r99", category=Category.SAFETY_COMPLIANCE)
            paging.wait_for(lambda one: one.effects == ["escalation.opened:r99"])
            desk.__exit__(None, None, None)  # or the relay would wait for it until the timeout


def test_an_overdue_escalation_is_paged_once_by_however_many_relays(ledger, clock):
    write(ledger, "r1", category=Category.SAFETY_COMPLIANCE)
    with Receiver() as receiver:
        paging = Destinations.of({"WEBHOOK_PAGING_URL": receiver.url, "WEBHOOK_SECRET": SECRET})
        with running(ledger, paging, relays=2):
            until(lambda: ledger.outbox_counts()["delivered"] == 1)
            clock.advance(60 * 60 + 1)
            receiver.wait_for(lambda one: "escalation.overdue:r1" in one.effects)
            write(ledger, "r2", category=Category.SAFETY_COMPLIANCE)  # and they go on
            receiver.wait_for(lambda one: "escalation.opened:r2" in one.effects)
    assert len(receiver.requests) == 3
    assert receiver.requests[1].told["payload"] == {"severity": "urgent", "due_at": (NOON + timedelta(minutes=60)).isoformat()}
    assert ledger.verify() == []


def test_a_relay_that_is_stopped_ends_what_is_under_way_and_begins_nothing(sqlite):
    write(sqlite, *(f"r{number}" for number in range(12)))
    now = threading.Event()
    with Receiver(lambda *_: Said(when=now)) as receiver, running(sqlite, tickets_to(receiver, WEBHOOK_TIMEOUT_S="60")) as stop:
        receiver.wait_for(lambda one: len(one.requests) == 8)
        stop()
        now.set()
    assert sqlite.outbox_counts() == {"pending": 4, "delivered": 8, "dead": 0}
    assert [row.attempts for row in stored(sqlite).values() if row.status == "pending"] == [0] * 4


def test_what_was_delivered_while_the_database_was_lost_is_written_down_and_not_delivered_again(ledger, clock, caplog):
    write(ledger, "r1")
    with lost_database(ledger) as lost, Receiver(lambda *_: lost.set() or Said()) as receiver, running(ledger, tickets_to(receiver)):
        receiver.wait_for(lambda one: one.effects == ["ticket.opened:r1"])
        until(lambda: "waits 1 s for the database" in caplog.text)
        clock.advance(3600)  # past the lease
        lost.clear()
        until(lambda: ledger.outbox_counts()["delivered"] == 1)
    assert len(receiver.requests) == 1


def test_a_relay_outlasts_a_lost_database(ledger, caplog):
    with lost_database(ledger) as lost, Receiver() as receiver:
        lost.set()
        with running(ledger, tickets_to(receiver)):
            until(lambda: "waits 1 s for the database" in caplog.text)
            lost.clear()
            write(ledger, "r1")
            receiver.wait_for(lambda one: one.effects == ["ticket.opened:r1"])


# --- settings


def test_each_topic_has_the_receiver_that_the_settings_name():
    destinations = Destinations.of(
        {
            "WEBHOOK_TICKETS_URL": "https://desk.example/hook",
            "WEBHOOK_PAGING_URL": "http://localhost:8080/page",
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_TIMEOUT_S": "2.5",
        }
    )
    assert [(one.url, one.topics) for one in destinations.receivers] == [
        ("https://desk.example/hook", (Topic.TICKET_OPENED,)),
        ("http://localhost:8080/page", (Topic.ESCALATION_OPENED, Topic.ESCALATION_OVERDUE)),
    ]
    assert set(destinations.topics) == set(Topic) - {Topic.JOB_FINISHED}  # that goes to who asked for it
    assert destinations.timeout_s == 2.5
    assert SECRET not in repr(destinations)
    assert "desk.example" not in repr(destinations)


def test_without_a_url_nothing_is_taken_and_nothing_else_is_needed():
    assert Destinations.of({}) == Destinations()
    assert Destinations.of({}).topics == ()


@pytest.mark.parametrize("url", ["http://desk.internal/hook", "http://10.0.0.7/hook", "http://127.0.0.1.example/hook"])
def test_http_leaves_this_machine_only_where_it_is_allowed(url):
    settings = {"WEBHOOK_TICKETS_URL": url, "WEBHOOK_SECRET": SECRET}
    with pytest.raises(OrchestratorError, match="unencrypted: use https, or WEBHOOK_ALLOW_HTTP=1"):
        Destinations.of(settings)
    assert Destinations.of(settings | {"WEBHOOK_ALLOW_HTTP": "1"}).receivers[0].url == url


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WEBHOOK_SECRET": " "}, "WEBHOOK_SECRET is not set"),
        ({"WEBHOOK_TICKETS_URL": "ftp://desk.example/token-1"}, "WEBHOOK_TICKETS_URL begins with ftp:"),
        ({"WEBHOOK_TICKETS_URL": "desk.example/token-1"}, "WEBHOOK_TICKETS_URL begins with no scheme"),
        ({"WEBHOOK_PAGING_URL": "https:///token-1"}, "WEBHOOK_PAGING_URL names no host"),
        ({"WEBHOOK_PAGING_URL": "https://desk.example/token-1 b"}, "a space or a control character"),
        ({"WEBHOOK_PAGING_URL": "https://desk.example:port/token-1"}, "WEBHOOK_PAGING_URL is no URL"),
        ({"WEBHOOK_PAGING_URL": "https://[::1/token-1"}, "WEBHOOK_PAGING_URL is no URL"),
        ({"WEBHOOK_TIMEOUT_S": "0"}, "WEBHOOK_TIMEOUT_S is '0': write a number of seconds above 0 and up to 60"),
        ({"WEBHOOK_TIMEOUT_S": "nan"}, "WEBHOOK_TIMEOUT_S is 'nan'"),
        ({"WEBHOOK_TIMEOUT_S": "inf"}, "WEBHOOK_TIMEOUT_S is 'inf'"),
        ({"WEBHOOK_TIMEOUT_S": "5 s"}, "WEBHOOK_TIMEOUT_S is '5 s'"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_no_url_is_repeated(settings, said):
    with pytest.raises(OrchestratorError, match=re.escape(said)) as raised:
        Destinations.of({"WEBHOOK_TICKETS_URL": "https://desk.example/hook", "WEBHOOK_SECRET": SECRET} | settings)
    assert "token-1" not in str(raised.value)


def test_a_relay_is_opened_from_the_environment_alone(sqlite):
    write(sqlite, "r1")

    async def opened(environment: dict[str, str]) -> Delivered:
        async with open_relay(sqlite, environment) as relay:
            return await relay.run_once()

    with Receiver() as receiver:
        assert asyncio.run(opened({"WEBHOOK_TICKETS_URL": receiver.url, "WEBHOOK_SECRET": SECRET})) == Delivered(delivered=1)


def test_a_relay_with_nobody_to_deliver_to_is_not_opened(sqlite):
    async def opened() -> None:
        async with open_relay(sqlite, {}):
            pass

    with pytest.raises(OrchestratorError, match="set WEBHOOK_TICKETS_URL or WEBHOOK_PAGING_URL"):
        asyncio.run(opened())
