"""Jobs: in which order they are taken, by whom, how they end, and what of them is forgotten."""

import asyncio
import dataclasses
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from in_process import has_jobs_left, until
from sqlalchemy import func, select, text

from orchestrator.errors import ConflictError, KeysError, OrchestratorError, QueueFullError, StoreUnavailableError
from orchestrator.jobs import Worker
from orchestrator.response import ClassifyResponse
from orchestrator.schema import Category, Channel, Message
from orchestrator.store import figures, jobs, tables, unhandled
from orchestrator.store.database import reading, writing
from orchestrator.store.job_queue import JobQueue, NewJob
from orchestrator.store.jobs import Depth, Error, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.retention import RetentionDays
from orchestrator.testing_outcomes import make_outcome

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SAID = "My name is Jane Smith, write to jo@example.org"
RED = "my throat is closing up since the new tablets"


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(ledger, clock):
    """The queue on each database, on a clock of the test's own."""
    clocked = dataclasses.replace(ledger, clock=clock)
    yield JobQueue(clocked)
    clocked.close()


@pytest.fixture
def lite(sqlite, clock):
    """The queue on SQLite, for what is the same on each database."""
    clocked = dataclasses.replace(sqlite, clock=clock)
    yield JobQueue(clocked)
    clocked.close()


def put(queue, *texts, client="desk", **more):
    made = [NewJob(client, Message(text=one, metadata={"customer_id": "C-1"}), **more) for one in texts]
    queue.submit(made).result()
    return [job.id for job in made]


def take(queue, limit=10, lease_s=60.0):
    return queue.take(limit=limit, lease_s=lease_s).result()


def ids(taken):
    return [job.id for job in taken]


def everything(ledger):
    with ledger.engine.connect() as connection:
        names = tables.Base.metadata.tables
        return " ".join(str(dict(row)) for name in names for row in connection.execute(text(f"SELECT * FROM {name}")).mappings())


class Scripted:
    """Handles messages by recording outcomes made to measure, or by raising what it was told to, in turn."""

    def __init__(self, ledger, *errors):
        self.ledger, self.errors, self.seen = ledger, list(errors), []

    async def handle(self, message, *, request_id=None, idempotency=None, deadline_s=None, client=None):
        self.seen.append(message.text)
        if self.errors and (error := self.errors.pop(0)):
            raise error
        if before := self.ledger.recorded(idempotency):
            return before
        outcome = make_outcome(request_id, Category.SERVICE_ACTION)
        self.ledger.record(message, outcome, idempotency)
        return outcome


def work_off(queue, handler, *, till=None, **named):
    """Let a worker work until no job is left, or until something is true."""

    async def main():
        stop = asyncio.Event()
        working = asyncio.create_task(Worker(handler, queue, concurrency=4, poll_s=0.01, **named).run(stop))
        await until(till or (lambda: not has_jobs_left(queue.ledger)))
        stop.set()
        await working

    asyncio.run(asyncio.wait_for(main(), 60))


# --- order and leases


def test_messages_with_a_red_flag_are_taken_first_and_then_the_oldest(queue, clock):
    first = put(queue, "where is my order", "refund me", "opening hours")  # a batch keeps its order
    clock.now += timedelta(seconds=1)
    later, urgent = put(queue, "cancel it", RED)
    assert ids(take(queue, 2)) == [urgent, first[0]]
    assert ids(take(queue)) == [*first[1:], later]
    assert take(queue) == []


def test_two_workers_never_take_the_same_job(queue):
    other = JobQueue(Ledger(queue.ledger.engine, queue.ledger.environment, queue.ledger.clock))
    wanted = put(queue, *(f"message {number}" for number in range(40)))
    futures = [one.take(limit=7, lease_s=60) for _ in range(4) for one in (queue, other)]
    taken = [job for future in futures for job in ids(future.result())]
    other.ledger._writer.close()
    assert sorted(taken) == sorted(wanted)


def test_a_job_whose_worker_died_is_taken_by_another_when_its_lease_has_run_out(queue, clock):
    wanted = put(queue, "refund me")
    take(queue, lease_s=60)
    assert not queue.any_due()
    clock.now += timedelta(seconds=61)
    assert queue.any_due()
    assert [(job.id, job.attempts) for job in take(queue)] == [(wanted[0], 2)]


def test_a_message_that_kills_every_worker_is_given_up(lite, clock):
    (job,) = put(lite, "refund me")
    for _ in range(lite.attempts):
        assert ids(take(lite)) == [job]
        clock.now += timedelta(minutes=2)
    assert take(lite) == []
    assert (lite.read(job).status, lite.read(job).error) == (Status.FAILED, Error.ATTEMPTS)


def test_the_clock_set_back_by_hours_holds_no_job_up(queue, clock):
    waits, leased, tried = put(queue, "one", "two", "three")[2], *take(queue, 2)
    queue.retry(tried, in_s=60).result()
    clock.now -= timedelta(hours=2)
    assert sorted(ids(take(queue))) == sorted([waits, leased.id, tried.id])
    assert take(queue) == []


def test_a_pause_is_kept_while_the_clock_goes_on(lite, clock):
    put(lite, "one")
    (job,) = take(lite)
    lite.retry(job, in_s=60).result()
    assert take(lite) == []
    clock.now += timedelta(seconds=61)
    assert ids(take(lite)) == [job.id]


def test_depth_is_how_many_wait_and_the_age_of_the_oldest(queue, clock):
    assert queue.depth() == Depth(waiting=0, oldest_age_s=0.0)
    put(queue, "one", "two")
    clock.now += timedelta(seconds=5)
    put(queue, RED)
    assert queue.depth() == Depth(waiting=3, oldest_age_s=5.0)
    take(queue, 2)
    assert queue.depth().waiting == 1


def test_a_full_queue_takes_no_more_and_none_of_a_batch(lite):
    small = JobQueue(lite.ledger, limit=3)
    put(small, "one", "two")
    with pytest.raises(QueueFullError, match="at most 3 may"):
        put(small, "three", "four")
    assert lite.depth().waiting == 2


# --- keys


def test_a_key_queues_one_job_and_refuses_another_message(queue):
    job = NewJob("desk", Message(text="refund me"), key="k")
    queue.submit([job]).result()
    again = NewJob("desk", Message(text="refund me"), key="k")
    with pytest.raises(ConflictError):
        queue.submit([again]).result()
    assert queue.queued_before([again]) == [job.id]
    assert queue.queued_before([NewJob("shop", Message(text="refund me"), key="k")]) is None
    for other in (NewJob("desk", Message(text="cancel it"), key="k"), NewJob("desk", job.message, "https://x.example/", key="k")):
        with pytest.raises(ConflictError, match="another request"):
            queue.queued_before([other])


def test_one_of_a_burst_that_conflicts_holds_up_none_of_the_others(queue):
    put(queue, "first", key="k")
    futures = [queue.submit([NewJob("desk", Message(text=f"m{n}"), key="k" if n == 5 else None)]) for n in range(20)]
    assert [n for n, future in enumerate(futures) if future.exception()] == [5]
    assert queue.depth().waiting == 20


# --- how they end


def test_a_job_ends_with_the_answer_of_its_message_whole_and_once(queue):
    message = Message(text="refund me", channel=Channel.MAIL, metadata={"customer_id": 7, "\ud800": ["\x00"]})
    job = NewJob("desk", message)
    queue.submit([job]).result()
    handled = []
    work_off(queue, Scripted(queue.ledger), handled=handled.append)
    view = queue.read(job.id)
    assert (view.status, view.finished_at, view.error) == (Status.DONE, NOON, None)
    assert ClassifyResponse.model_validate_json(json.dumps(view.result)) == ClassifyResponse.of(
        make_outcome(job.id, Category.SERVICE_ACTION)
    )
    assert [outcome.request_id for outcome in handled] == [job.id]
    assert [ticket["request_id"] for ticket in queue.ledger.tickets()] == [job.id]


def test_a_worker_slower_than_its_lease_changes_nothing_and_nothing_is_told_twice(queue, clock):
    (job,) = put(queue, "refund me", callback_url="https://desk.example/")
    (slow,) = take(queue)
    clock.now += timedelta(minutes=2)
    (fast,) = take(queue)
    queue.finish(fast, result={"answer": 1}).result()
    queue.finish(slow, error=Error.INTERNAL).result()
    queue.retry(slow, in_s=1).result()
    assert (queue.read(job).status, queue.read(job).result) == (Status.DONE, {"answer": 1})
    assert queue.ledger.outbox_counts()["pending"] == 1


def test_an_error_is_tried_again_and_its_text_is_told_nowhere(lite, clock, caplog):
    caplog.set_level(logging.DEBUG)
    (job,) = put(lite, SAID)
    handler = Scripted(lite.ledger, ValueError(SAID))
    work_off(lite, handler, till=lambda: lite.depth().waiting == 1 and handler.seen)
    clock.now += timedelta(minutes=2)
    work_off(lite, handler)
    assert lite.read(job).status == Status.DONE
    assert "ValueError" in caplog.text
    assert "Jane" not in caplog.text


def test_a_job_that_never_succeeds_has_failed_with_a_kind(lite):
    lite.attempts = 1
    (job,) = put(lite, SAID)
    work_off(lite, Scripted(lite.ledger, ValueError(SAID)))
    assert (lite.read(job).status, lite.read(job).error, lite.read(job).result) == (Status.FAILED, Error.INTERNAL, None)
    assert "Jane" not in everything(lite.ledger)


def pages(queue):
    query = select(tables.OutboxMessage.request_id, tables.OutboxMessage.payload).where(tables.OutboxMessage.topic == "escalation.opened")
    with reading(queue.ledger.engine) as connection:
        return [tuple(row) for row in connection.execute(query)]


def failed(queue, clock):
    return figures.count(queue.ledger.engine, clock.now).jobs["failed"]


def test_a_message_that_nobody_could_handle_is_shown_paged_where_it_has_a_red_flag_and_can_be_handled_again(queue, clock):
    queue.attempts = 1
    plain, red = put(queue, SAID, RED)
    work_off(queue, Scripted(queue.ledger, ValueError(SAID), ValueError(RED)))
    shown = unhandled.list_unhandled(queue.ledger, 10)
    assert [(job.id, job.red_flag, job.error) for job in shown] == [(red, True, Error.INTERNAL), (plain, False, Error.INTERNAL)]
    assert pages(queue) == [(red, {"severity": "urgent", "reason": jobs.UNHANDLED, "due_at": clock.now.isoformat()})]
    assert failed(queue, clock) == 2
    assert unhandled.redrive(queue.ledger, [plain, "no such job"]) == 1
    assert unhandled.redrive(queue.ledger) == 1
    assert unhandled.redrive(queue.ledger) == 0
    work_off(queue, Scripted(queue.ledger))
    assert [queue.read(job).status for job in (plain, red)] == [Status.DONE, Status.DONE]
    assert failed(queue, clock) == 0
    assert unhandled.list_unhandled(queue.ledger, 10) == []


def test_a_message_that_no_key_opens_is_given_up_too_and_paged(lite, clock):
    lite.attempts = 1
    (job,) = put(lite, RED)
    with writing(lite.ledger.engine) as connection:
        connection.execute(text("DELETE FROM data_keys"))
    work_off(lite, Scripted(lite.ledger))
    assert (lite.read(job).error, [told for told, _ in pages(lite)]) == (Error.UNREADABLE, [job])
    with pytest.raises(KeysError, match="lost its message or the key"):
        unhandled.read_message(lite.ledger, job, "Ann", "call back")


def test_a_person_reads_one_which_is_audited_and_closes_it(queue, clock):
    queue.attempts = 1
    (job,) = put(queue, RED)
    work_off(queue, Scripted(queue.ledger, ValueError()))
    assert unhandled.read_message(queue.ledger, job, "Ann", "call jo@example.org back").text == RED
    for by, reason in (("", "why"), ("Ann", " ")):
        with pytest.raises(OrchestratorError, match="give both"):
            unhandled.read_message(queue.ledger, job, by, reason)
    unhandled.close(queue.ledger, job, "Ann")
    told = [(event["kind"], event["request_id"], event["by"], event.get("reason")) for _, event in queue.ledger.events()]
    assert told == [("message_read", job, "Ann", "call [EMAIL] back"), ("job_closed", job, "Ann", None)]
    assert queue.ledger.verify() == []
    assert (failed(queue, clock), unhandled.redrive(queue.ledger)) == (0, 0)
    with reading(queue.ledger.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.DataKey)) == 0
    for gone in (lambda: unhandled.close(queue.ledger, job, "Ann"), lambda: unhandled.read_message(queue.ledger, job, "Ann", "why")):
        with pytest.raises(OrchestratorError, match="there is no failed job"):
            gone()


def test_a_page_about_a_job_does_not_stand_in_the_way_of_its_escalation(lite, clock):
    lite.attempts = 1
    (job,) = put(lite, RED)
    for _ in range(2):
        work_off(lite, Scripted(lite.ledger, ValueError()))
        unhandled.redrive(lite.ledger)
        clock.now += timedelta(minutes=1)

    class Safety(Scripted):
        async def handle(self, message, *, request_id=None, idempotency=None, deadline_s=None, client=None):
            outcome = make_outcome(request_id, Category.SAFETY_COMPLIANCE)
            self.ledger.record(message, outcome, idempotency)
            return outcome

    work_off(lite, Safety(lite.ledger))
    assert lite.read(job).status == Status.DONE
    assert [told for told, _ in pages(lite)] == [job] * 3


def test_a_key_used_for_another_message_meanwhile_is_a_conflict_at_once(lite):
    (job,) = put(lite, "refund me", key="k")
    work_off(lite, Scripted(lite.ledger, ConflictError("scripted")))
    assert lite.read(job).error == Error.CONFLICT


def test_a_lost_database_costs_no_attempt(lite):
    lite.attempts = 1
    (job,) = put(lite, "refund me")
    work_off(lite, Scripted(lite.ledger, StoreUnavailableError("scripted")))
    assert lite.read(job).status == Status.DONE


# --- privacy


def test_what_waits_is_sealed_and_its_key_goes_when_it_ends(queue):
    (job,) = put(queue, SAID)
    assert "jane" not in everything(queue.ledger).lower()
    (taken,) = take(queue)
    assert queue.message_of(taken).text == SAID
    queue.finish(taken, result={}).result()
    assert f"job:{job}" not in everything(queue.ledger)


def test_an_erasure_forgets_jobs_that_wait_and_answers_that_were_given(queue, clock):
    done, waits = put(queue, "refund order 4432", callback_url="https://desk.example/") + put(queue, SAID)
    kept = NewJob("desk", Message(text="refund me", metadata={"customer_id": "C-2"}))
    clock.now += timedelta(seconds=1)
    queue.submit([kept]).result()
    (taken, other, _) = sorted(take(queue), key=lambda job: [done, waits, kept.id].index(job.id))
    asyncio.run(Scripted(queue.ledger).handle(queue.message_of(taken), request_id=done, idempotency=_key(taken, queue)))
    queue.finish(taken, result={"order": "4432"}).result()
    assert queue.ledger.erase("C-1", "the privacy officer") == 2
    queue.finish(other, result={"order": "4432"}).result()  # it was under way
    assert queue.read(done) is queue.read(waits) is None
    assert queue.read(kept.id).status == Status.RUNNING
    left = everything(queue.ledger)
    assert "4432" not in left
    assert f"job:{waits}" not in left
    assert queue.ledger.outbox_counts() == {"pending": 0, "delivered": 0, "dead": 2}
    assert queue.ledger.verify() == []


def test_finished_jobs_expire_and_those_that_wait_do_not(queue, clock):
    done, waits = put(queue, "one", "two")
    queue.finish(take(queue, 1)[0], result={}).result()
    clock.now += timedelta(days=31)
    assert queue.ledger.expire(RetentionDays())["jobs"] == 1
    assert queue.read(done) is None
    assert queue.read(waits).status == Status.QUEUED


def test_an_answer_is_not_kept_longer_than_its_message(queue, clock):
    (job,) = put(queue, "refund order 4432")
    work_off(queue, Scripted(queue.ledger))
    clock.now += timedelta(days=2)
    queue.ledger.expire(RetentionDays(interactions=1))
    assert queue.read(job) is None


def test_a_step_back_of_the_schema_leaves_no_key_of_a_job(queue):
    from orchestrator.store import migrate

    put(queue, "one")
    migrate.downgrade(queue.ledger.engine, "0002")
    with writing(queue.ledger.engine) as connection:
        assert connection.scalars(select(tables.DataKey.request_id)).all() == []


def _key(job, queue):
    from orchestrator.store.job_queue import idempotency_of

    return idempotency_of(job, queue.message_of(job))
