import os
import sqlite3
import threading
from concurrent.futures import wait
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import ConflictError, KeysError, OrchestratorError, StoreUnavailableError
from orchestrator.keys import Keys
from orchestrator.schema import Category, Message
from orchestrator.store import escalations, sealing
from orchestrator.store.database import writing
from orchestrator.store.escalations import Status
from orchestrator.store.ledger import Idempotency, Ledger, in_random_sample
from orchestrator.store.retention import RetentionDays
from orchestrator.store.tables import Base, Interaction
from orchestrator.store.writer import Writer
from orchestrator.testing_outcomes import make_outcome

TEXT = "the tablets made my lips swell, write to jo@example.org"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def rows(ledger, table):
    with ledger.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]


def record(ledger, request_id, category=Category.SAFETY_COMPLIANCE, *, customer=None, message=TEXT, **outcome):
    metadata = {} if customer is None else {"customer_id": customer}
    ledger.record(Message(text=message, metadata=metadata), make_outcome(request_id, category, **outcome))


@pytest.fixture
def noon(ledger):
    """The same ledger with a clock that stands still."""
    return Ledger(ledger.engine, ledger.environment, lambda: NOON)


def at(ledger, moment):
    return Ledger(ledger.engine, ledger.environment, lambda: moment)


def test_a_ticket_its_audit_event_and_its_outbox_message_are_one_transaction(ledger):
    commits = []
    event.listen(ledger.engine, "commit", lambda _: commits.append(1))
    record(ledger, "m1", Category.SERVICE_ACTION)
    assert len(commits) == 1
    assert [row["request_id"] for row in rows(ledger, "tickets")] == ["m1"]
    assert [(row["topic"], row["status"]) for row in rows(ledger, "outbox")] == [("ticket.opened", "pending")]
    assert [entry["request_id"] for _, entry in ledger.events()] == ["m1"]


def test_a_safety_message_is_nowhere_plain_and_readable_by_who_says_why(ledger):
    record(ledger, "m1")
    everything = " ".join(str(row) for table in Base.metadata.tables for row in rows(ledger, table))
    assert "jo@example.org" not in everything
    assert ledger.read_message("m1", "R. Ph.", "to call back") == TEXT
    assert [entry for _, entry in ledger.events()][-1].items() >= {"kind": "message_read", "by": "R. Ph.", "reason": "to call back"}.items()
    assert ledger.verify() == []


@pytest.mark.parametrize(("who", "why"), [(" ", "to call back"), ("R. Ph.", "")])
def test_a_message_is_not_read_by_nobody_or_for_nothing(ledger, who, why):
    record(ledger, "m1")
    with pytest.raises(OrchestratorError, match="give both"):
        ledger.read_message("m1", who, why)
    assert len(list(ledger.events())) == 1


@pytest.mark.parametrize("message", [TEXT, "hello", "[EMAIL_1] and jo@example.org"])
def test_other_messages_are_kept_redacted_and_read_with_what_was_taken_out_put_back(ledger, message):
    record(ledger, "m1", Category.INFORMATIONAL, message=message)
    everything = " ".join(str(row) for table in Base.metadata.tables for row in rows(ledger, table))
    assert "jo@example.org" not in everything
    assert ledger.read_message("m1", "Ann", "to call back") == message


def test_a_repeated_request_id_is_refused_and_the_others_of_its_batch_are_written(ledger):
    record(ledger, "m0", Category.SERVICE_ACTION)
    ids = ["m1", "m0", "m2", "m2", "m3"]
    futures = [ledger.submit(Message(text=TEXT), make_outcome(name, Category.SERVICE_ACTION)) for name in ids]
    wait(futures)
    assert [isinstance(future.exception(), ConflictError) for future in futures] == [False, True, False, True, False]
    for table in ("interactions", "tickets", "outbox", "audit_events"):
        assert len(rows(ledger, table)) == 4
    assert ledger.verify() == []


def test_what_arrives_during_a_commit_shares_the_next_one(ledger):
    going, began, heads = threading.Event(), threading.Event(), []

    def committed(head):
        heads.append(head.id)
        began.set()
        going.wait(30)

    writer = Writer(ledger.engine, committed)
    entries = [ledger._entry(Message(text=TEXT), make_outcome(f"m{number}")) for number in range(41)]
    first = writer.submit(entries[0])
    began.wait(30)
    others = [writer.submit(entry) for entry in entries[1:]]
    assert not any(future.done() for future in (first, *others))  # nobody is told before the checkpoint is written
    going.set()
    wait([first, *others])
    writer.close()
    assert heads == [1, 41]


def test_an_error_of_the_database_does_not_repeat_what_was_said(ledger):
    with pytest.raises(DBAPIError) as raised, writing(ledger.engine) as connection:
        connection.execute(insert(Interaction), [{"request_id": "m1", "redacted_text": "my secret rash", "channel": object()}])
    assert "secret" not in str(raised.value)


def test_what_the_database_refuses_fails_alone_and_the_others_of_its_batch_are_written(ledger):
    going, began = threading.Event(), threading.Event()

    def committed(_head):
        began.set()
        going.wait(30)

    writer = Writer(ledger.engine, committed)
    entries = [ledger._entry(Message(text=TEXT), make_outcome(f"m{number}")) for number in range(4)]
    entries[2].rows[Interaction][0]["channel"] = object()  # no driver takes it
    first = writer.submit(entries[0])
    began.wait(30)
    others = [writer.submit(entry) for entry in entries[1:]]  # they share the next batch
    going.set()
    wait([first, *others])
    writer.close()
    assert [future.exception() is None for future in (first, *others)] == [True, True, False, True]
    assert not isinstance(others[1].exception(), StoreUnavailableError | ConflictError)
    assert [told["request_id"] for _, told in ledger.events()] == ["m0", "m1", "m3"]


def test_closing_writes_what_was_submitted_and_takes_nothing_more(ledger):
    futures = [ledger.submit(Message(text=TEXT), make_outcome(f"m{number}")) for number in range(50)]
    ledger.close()
    assert [future.exception() for future in futures] == [None] * 50
    with pytest.raises(StoreUnavailableError):
        ledger.submit(Message(text=TEXT), make_outcome("late"))
    assert len(rows(ledger, "interactions")) == 50


def test_the_same_key_is_answered_the_same_and_another_body_refused(ledger):
    first = Idempotency(client="a", key="k", body_hash="1")
    assert ledger.recorded(first) is None
    outcome = make_outcome("m1", Category.SERVICE_ACTION)
    ledger.record(Message(text=TEXT), outcome, first)
    assert ledger.recorded(first) == outcome
    assert ledger.recorded(first.model_copy(update={"client": "b"})) is None
    with pytest.raises(ConflictError, match="another request"):
        ledger.recorded(first.model_copy(update={"body_hash": "2"}))
    with pytest.raises(ConflictError):
        ledger.record(Message(text=TEXT), make_outcome("m2", Category.SERVICE_ACTION), first)
    assert len(rows(ledger, "tickets")) == 1


def test_escalations_come_most_severe_first_then_by_deadline(noon):
    for request_id, severity in (("m1", "routine"), ("m2", "urgent"), ("m3", "emergency"), ("m4", "urgent")):
        record(noon, request_id, severity=severity)
    record(noon, "m5", Category.SERVICE_ACTION, review=True)
    queue = noon.escalations()
    assert [one.request_id for one in queue] == ["m3", "m2", "m4", "m1", "m5"]
    assert queue[0].due_at == NOON + timedelta(minutes=60)
    assert "jo@example.org" not in queue[0].redacted_text


def test_an_escalation_is_claimed_acknowledged_and_resolved_by_one_person(ledger):
    record(ledger, "m1")
    ledger.claim("m1", "Ann")
    ledger.claim("m1", "Ann")
    with pytest.raises(ConflictError, match="Ann has the escalation"):
        ledger.claim("m1", "Bob")
    ledger.acknowledge("m1", "Ann")
    for _ in range(2):  # a repetition changes nothing and gives no second label
        ledger.resolve("m1", "Ann", "told jo@example.org to stop", label=Category.INFORMATIONAL)
    assert len(rows(ledger, "feedback")) == 1
    assert ledger.escalations() == []
    (done,) = ledger.escalations([Status.RESOLVED])
    assert (done.resolved_by, done.resolution) == ("Ann", "told [EMAIL] to stop")
    assert [entry["kind"] for _, entry in ledger.events()] == ["classified", "claimed", "acknowledged", "resolved", "corrected"]
    assert ledger.verify() == []


@pytest.mark.parametrize("step", ["acknowledge", "resolve"])
def test_steps_of_the_queue_are_not_skipped(ledger, step):
    record(ledger, "m1")
    with pytest.raises(ConflictError, match="it must be"):
        getattr(ledger, step)("m1", "Ann", *(["done"] if step == "resolve" else []))
    assert [entry["kind"] for _, entry in ledger.events()] == ["classified"]


def test_what_is_overdue_is_paged_once(noon):
    record(noon, "m1")
    late = at(noon, NOON + timedelta(minutes=61))
    assert [one.overdue for one in noon.escalations()] == [False]
    assert [one.overdue for one in late.escalations()] == [True]
    assert [noon.alert_overdue(), late.alert_overdue(), late.alert_overdue()] == [0, 1, 0]
    assert [row["topic"] for row in rows(noon, "outbox")] == ["escalation.opened", "escalation.overdue"]
    assert noon.verify() == []


def test_however_many_are_overdue_they_are_paged_in_passes_the_most_severe_first(noon, monkeypatch):
    monkeypatch.setattr(escalations, "ALERTS_AT_ONCE", 2)
    for request_id, severity in (("m1", "routine"), ("m2", "urgent"), ("m3", "emergency"), ("m4", "urgent")):
        record(noon, request_id, severity=severity)
    commits = []
    event.listen(noon.engine, "commit", lambda _: commits.append(1))
    late = at(noon, NOON + timedelta(days=1))
    assert [late.alert_overdue(), len(commits), late.alert_overdue()] == [4, 3, 0]
    assert [told["request_id"] for _, told in noon.events() if told["kind"] == "overdue"] == ["m3", "m2", "m4", "m1"]
    assert noon.verify() == []


def test_a_label_is_a_link_of_the_chain_and_says_who_gave_it(ledger):
    record(ledger, "m1", Category.INFORMATIONAL)
    assert ledger.correct("m1", Category.SAFETY_COMPLIANCE, " R. Ph. ", "told jo@example.org") == Category.INFORMATIONAL
    assert ledger.correct("m1", Category.INFORMATIONAL, "R. Ph.") == Category.INFORMATIONAL
    (_, corrected), (_, confirmed) = list(ledger.events())[1:]
    del corrected["at"]
    assert corrected == {
        "kind": "corrected",
        "request_id": "m1",
        "release": "test",
        "decided": "informational",
        "label": "safety_compliance",
        "by": "R. Ph.",
    }
    assert confirmed["label"] == confirmed["decided"]
    assert [row["note"] for row in rows(ledger, "feedback")] == ["told [EMAIL]", ""]
    assert ledger.verify() == []


@pytest.mark.parametrize(("request_id", "by", "words"), [("nobody", "me", "there is no message 'nobody'"), ("m1", "  ", "needs a name")])
def test_a_label_for_no_message_or_by_nobody_is_refused(ledger, request_id, by, words):
    record(ledger, "m1")
    with pytest.raises(OrchestratorError, match=words):
        ledger.correct(request_id, Category.INFORMATIONAL, by)
    assert len(list(ledger.events())) == 1


def test_labels_leave_as_redacted_rows_the_last_of_each_message(ledger):
    record(ledger, "m1")
    record(ledger, "m2", Category.INFORMATIONAL)
    ledger.correct("m1", Category.INFORMATIONAL, "Ann")
    ledger.correct("m2", Category.INFORMATIONAL, "Ann")
    ledger.correct("m1", Category.SERVICE_ACTION, "Bob")
    assert [(row["id"], row["label"]) for row in ledger.labelled()] == [("m2", "informational"), ("m1", "service_action")]
    (corrected,) = ledger.labelled(corrections_only=True)
    assert corrected["message"] == "the tablets made my lips swell, write to [EMAIL]"


def test_an_erased_customer_is_forgotten_and_the_chain_holds(ledger):
    record(ledger, "m1", customer="C-77")
    record(ledger, "m2", customer="C-78")
    record(ledger, "m3", Category.SERVICE_ACTION, customer="C-77")
    ledger.record(Message(text=TEXT, metadata={"customer_id": "C-77"}), make_outcome("m4"), Idempotency(client="a", key="k", body_hash="1"))
    assert "C-77" not in str(rows(ledger, "interactions"))
    assert ledger.erase("C-77", "the privacy officer") == 3
    with pytest.raises(OrchestratorError, match="was erased"):
        ledger.read_message("m1", "Ann", "to look")
    assert ledger.read_message("m2", "Ann", "to look") == TEXT
    assert [row["redacted_text"] != "" for row in sorted(rows(ledger, "interactions"), key=lambda r: r["request_id"])] == [
        False,
        True,
        False,
        False,
    ]
    assert [row["request_id"] for row in rows(ledger, "data_keys")] == ["m2"]
    assert rows(ledger, "idempotency_keys") == []
    assert ledger.redrive() == 0  # its ticket is never sent blank
    assert "4432" not in str(rows(ledger, "tickets")) + str(rows(ledger, "outbox"))
    assert ledger.verify() == []


def in_its_files(sqlite, *wanted):
    file = Path(sqlite.engine.url.database)
    held = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    return [one for one in wanted if one.encode() in held]


@pytest.mark.parametrize("way", ["erase", "expire"])
def test_what_is_gone_is_in_neither_file_of_an_open_database(sqlite, way):
    ledger = at(sqlite, NOON)
    record(ledger, "m1", Category.INFORMATIONAL, customer="C-77")
    (message,), (key,) = rows(ledger, "interactions"), rows(ledger, "data_keys")
    held = message["redacted_text"], message["sealed_values"], key["wrapped_key"]
    with closing(sqlite3.connect(ledger.engine.url.database)) as other:
        other.execute("SELECT * FROM data_keys").fetchall()
        assert in_its_files(ledger, *held) == list(held)
        if way == "erase":
            assert ledger.erase("C-77", "the privacy officer") == 1
        else:
            assert at(sqlite, NOON + timedelta(days=400)).expire(RetentionDays())["interactions"] == 1
        assert in_its_files(ledger, *held) == []


def test_a_reader_who_keeps_the_log_of_an_erased_customer_is_warned_of(tmp_path, caplog):
    ledger = Ledger.at(f"sqlite:///{tmp_path}/ledger.db?timeout=0.05", os.environ)
    record(ledger, "m1", customer="C-77")
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM data_keys").fetchall()
        assert ledger.erase("C-77", "the privacy officer") == 1
    ledger.close()
    assert "stays in the database's write-ahead log" in caplog.text


def test_what_a_backup_still_holds_of_an_erased_customer_cannot_be_opened(ledger):
    record(ledger, "m1", customer="C-77")
    (kept,) = rows(ledger, "compliance_records")
    ledger.erase("C-77", "the privacy officer")
    with ledger.engine.begin() as connection:  # as if the table had come back from a backup; the data key has not
        connection.execute(text("UPDATE compliance_records SET sealed_text = :sealed"), {"sealed": kept["sealed_text"]})
    with pytest.raises(OrchestratorError, match="its key is gone"):
        ledger.read_message("m1", "Ann", "to look")


def test_what_has_expired_is_deleted_and_the_rest_of_the_chain_verifies(noon):
    later = NOON + timedelta(days=100)
    record(noon, "m1", Category.INFORMATIONAL)
    record(noon, "m2", Category.SERVICE_ACTION)
    record(noon, "m3")
    record(at(noon, later), "m4", Category.SERVICE_ACTION)
    days = RetentionDays(interactions=30, tickets=200, compliance_records=200, escalations=200, outbox=30, audit_events=30)
    gone = at(noon, later).expire(days)
    assert {name: count for name, count in gone.items() if count} == {"interactions": 1, "audit_events": 3}
    left = {row["request_id"]: row["redacted_text"] for row in rows(noon, "interactions")}
    assert set(left) == {"m2", "m3", "m4"}
    assert left["m2"] == ""  # a ticket that is kept longer needs the row, not the text
    assert left["m3"]
    assert noon.read_message("m3", "Ann", "to look") == TEXT
    assert len(rows(noon, "outbox")) == 3  # nothing undelivered is deleted
    assert [entry["kind"] for _, entry in noon.events()] == ["classified", "expired", "message_read"]
    assert noon.verify() == []


def test_an_open_escalation_does_not_expire(noon):
    record(noon, "m1")
    assert at(noon, NOON + timedelta(days=9)).expire(RetentionDays(escalations=1))["escalations"] == 0
    noon.claim("m1", "Ann")
    noon.resolve("m1", "Ann", "done")
    assert at(noon, NOON + timedelta(days=9)).expire(RetentionDays(escalations=1))["escalations"] == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [('{"interactions": 0}', "interactions"), ('{"interaction": 5}', "interaction"), ("[1]", "RETENTION_DAYS"), ("{", "RETENTION_DAYS")],
)
def test_retention_that_cannot_be_meant_is_refused_by_name(given, words):
    with pytest.raises(OrchestratorError, match=words):
        RetentionDays.of({"RETENTION_DAYS": given})


def test_rotated_keys_open_what_the_old_ones_sealed_and_then_replace_them(ledger, tmp_path):
    record(ledger, "m1")
    path = tmp_path / "rotated.json"
    rotated = ledger.keys.rotated()
    rotated.write(path)
    after = Ledger(ledger.engine, ledger.environment | {"KEY_FILE": str(path)})
    assert after.read_message("m1", "Ann", "to look") == TEXT
    assert after.rewrap_keys() == 1
    newest = tmp_path / "newest.json"
    Keys(rotated.encryption[:1], rotated.signing, rotated.pseudonym).write(newest)
    alone = Ledger(ledger.engine, ledger.environment | {"KEY_FILE": str(newest)})
    assert alone.read_message("m1", "Ann", "to look") == TEXT
    with pytest.raises(OrchestratorError, match="none of the encryption keys"):
        ledger.read_message("m1", "Ann", "to look")


def test_keys_are_rewrapped_in_pages_a_transaction_each(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "AT_ONCE", 2)
    for number in range(5):
        record(ledger, f"m{number}")
    rotated = ledger.keys.rotated()
    rotated.write(tmp_path / "rotated.json")
    after = Ledger(ledger.engine, ledger.environment | {"KEY_FILE": str(tmp_path / "rotated.json")})
    commits = []
    event.listen(ledger.engine, "commit", lambda _: commits.append(1))
    assert [after.rewrap_keys(), len(commits), after.rewrap_keys()] == [5, 4, 5]
    newest = Keys(rotated.encryption[:1], rotated.signing, rotated.pseudonym)
    assert all(newest.unwrap(row["wrapped_key"]) for row in rows(ledger, "data_keys"))


def test_a_lost_key_file_is_named_and_not_replaced_by_new_keys(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.at(url)
    record(ledger, "m1", customer="C-77")
    ledger.close()
    file = tmp_path / "keys.json"
    kept = file.read_text()
    file.unlink()
    ledger = Ledger.at(url)
    for use in (lambda: ledger.erase("C-77", "desk"), lambda: record(ledger, "m2"), lambda: ledger.read_message("m1", "Ann", "to look")):
        with pytest.raises(KeysError, match=r"keys.json is missing.*put it back"):
            use()
    assert not file.exists()
    assert ledger.verify() == []  # the public key beside the checkpoints does
    file.write_text(kept)
    assert ledger.erase("C-77", "desk") == 1
    ledger.close()


def test_events_come_in_order_and_from_any_point(ledger):
    for number in range(5):
        record(ledger, f"m{number}")
    events = list(ledger.events())
    assert [entry["request_id"] for _, entry in events] == [f"m{number}" for number in range(5)]
    assert list(ledger.events(after_id=events[2][0])) == events[3:]


def test_the_random_sample_is_one_message_in_twenty():
    assert sum(in_random_sample(f"m{number}") for number in range(20_000)) == pytest.approx(1000, abs=100)
