from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, text

from orchestrator.schema import Category, Failure, FailureKind, Message
from orchestrator.store.database import writing
from orchestrator.store.ledger import Idempotency, Ledger
from orchestrator.store.retention import RetentionDays, expire, would_expire
from orchestrator.store.tables import Base, Interaction
from orchestrator.testing_outcomes import make_outcome

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
TEXT = "My name is Jane Smith, I live at 12 Oak Street, Springfield. Refund my order, write to jo@example.org."
RATIONALE = "Jane Smith of 12 Oak Street wants a refund. Smith writes from springfield (jo@example.org)."
REPLY = 'not JSON: \'{"reasoning": "Jane Smith, 12 Oak Str\''
PERSONAL = ("jane", "smith", "oak str", "springfield", "jo@example.org")


@pytest.fixture
def noon(ledger):
    """A ledger on each database with a clock that stands still."""
    return at(ledger, NOON)


def at(ledger, moment):
    return Ledger(ledger.engine, ledger.environment, lambda: moment)


def rows(ledger, table):
    with ledger.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]


def everything(ledger):
    return " ".join(str(row) for table in Base.metadata.tables for row in rows(ledger, table))


def record(ledger, request_id="m1", category=Category.SERVICE_ACTION, *, said=None, key=None, review=False):
    """Record a message of customer C-1; ``said`` is what the LLM wrote about it."""
    outcome = make_outcome(request_id, category, review=review)
    outcome = outcome.model_copy(update={"classification": outcome.classification.model_copy(update=said or {})})
    idempotency = Idempotency(client="a", key=key, body_hash="1") if key else None
    ledger.record(Message(text=TEXT, metadata={"customer_id": "C-1"}), outcome, idempotency)


SAID = [
    pytest.param({"rationale": RATIONALE}, id="rationale"),
    pytest.param({"failure": Failure(kind=FailureKind.UNPARSABLE, detail=REPLY)}, id="failure"),
]


# --- what the LLM wrote about a message


@pytest.mark.parametrize("said", SAID)
def test_what_the_llm_wrote_about_a_message_is_nowhere_plain(ledger, said):
    record(ledger, said=said, key="k")
    stored = everything(ledger).lower()
    assert [word for word in PERSONAL if word in stored] == []


def test_a_replayed_outcome_differs_from_the_first_only_in_what_the_llm_wrote(ledger):
    record(ledger, said={"rationale": RATIONALE, "failure": Failure(kind=FailureKind.UNPARSABLE, detail=REPLY)}, key="k")
    replayed = ledger.recorded(Idempotency(client="a", key="k", body_hash="1"))
    told = replayed.classification
    assert told.rationale == "[NAME] of [ADDRESS] wants a refund. [NAME] writes from [ADDRESS] ([EMAIL])."
    assert told.failure == Failure(kind=FailureKind.UNPARSABLE, detail="")
    silent = told.model_copy(update={"rationale": None, "failure": None})
    assert replayed.model_copy(update={"classification": silent}) == make_outcome("m1", Category.SERVICE_ACTION)


def test_of_what_the_llm_wrote_about_an_erased_message_nothing_remains(ledger):
    record(ledger, said={"rationale": RATIONALE}, key="k")
    record(ledger, "m2", said={"failure": Failure(kind=FailureKind.UNPARSABLE, detail=REPLY)})
    with ledger.engine.begin() as connection:  # a row of before these were redacted
        first = connection.execute(select(Interaction.__table__)).mappings().first()
        plain = {"rationale": RATIONALE, "failure": {"kind": "unparsable", "detail": REPLY, "retry_after_s": None}}
        connection.execute(insert(Interaction), [dict(first) | {"request_id": "m0", "classification": first["classification"] | plain}])
    assert ledger.erase("C-1", "the privacy officer") == 3
    left = everything(ledger)
    assert "wants a refund" not in left
    assert "reasoning" not in left
    assert "unparsable" in left  # that there was no answer is a fact of the service, not of the customer
    assert ledger.verify() == []


# --- what is kept how long


def test_by_default_a_ticket_stays_whole_until_its_own_day(noon):
    record(noon, said={"rationale": RATIONALE})
    noon.correct("m1", Category.SERVICE_ACTION, "Ann", "asked twice")
    children = {table: rows(noon, table) for table in ("tickets", "feedback", "outbox")}
    at(noon, NOON + timedelta(days=729)).expire(RetentionDays())
    assert {table: rows(noon, table) for table in children} == children
    (interaction,) = rows(noon, "interactions")
    assert (interaction["redacted_text"], interaction["sealed_values"]) == ("", None)
    assert "wants a refund" not in str(interaction)
    assert rows(noon, "data_keys") == []
    at(noon, NOON + timedelta(days=731)).expire(RetentionDays())
    assert rows(noon, "tickets") == rows(noon, "interactions") == []
    assert noon.verify() == []


def test_a_customer_is_still_erased_where_the_text_has_expired_and_the_ticket_has_not(noon):
    record(noon)
    later = at(noon, NOON + timedelta(days=400))
    later.expire(RetentionDays())
    assert later.erase("C-1", "the privacy officer") == 1
    assert "4432" not in everything(noon)


def test_a_compliance_record_is_read_whole_after_its_interaction_has_expired_and_its_key_goes_with_it(noon):
    record(noon, category=Category.SAFETY_COMPLIANCE)
    noon.claim("m1", "Ann")
    noon.resolve("m1", "Ann", "called back")
    later = at(noon, NOON + timedelta(days=400))
    later.expire(RetentionDays())
    assert rows(noon, "interactions")[0]["redacted_text"] == ""
    assert rows(noon, "escalations")[0]["resolution"] == "called back"
    assert later.read_message("m1", "R. Ph.", "an audit") == TEXT
    later.expire(RetentionDays(compliance_records=30))
    assert rows(noon, "data_keys") == rows(noon, "compliance_records") == []


def test_what_a_person_has_yet_to_look_at_keeps_its_text(noon):
    record(noon, review=True)
    later = at(noon, NOON + timedelta(days=400))
    later.expire(RetentionDays())
    assert later.read_message("m1", "Ann", "to decide") == TEXT
    noon.claim("m1", "Ann")
    noon.resolve("m1", "Ann", "as decided")
    later.expire(RetentionDays())
    assert rows(noon, "interactions")[0]["redacted_text"] == ""


def test_a_ticket_that_was_never_delivered_goes_with_its_interaction(noon):
    record(noon)
    at(noon, NOON + timedelta(days=800)).expire(RetentionDays(outbox=None))
    (message,) = rows(noon, "outbox")
    assert (message["status"], message["last_error"]) == ("dead", "erased")
    assert "4432" not in everything(noon)
    assert noon.redrive() == 0


def test_with_a_limit_the_passes_delete_what_one_without_would(noon):
    for number in range(5):
        record(noon, f"m{number}")
        record(noon, f"s{number}", Category.SAFETY_COMPLIANCE)
    now = NOON + timedelta(days=800)
    days = RetentionDays(compliance_records=700, audit_events=700)
    with writing(noon.engine) as connection:
        counted = would_expire(connection, days, now)
        passes = []
        while not passes or passes[-1].more:
            passes.append(expire(connection, days, now, limit=2))
    assert all(count <= 2 for one in passes for count in one.rows.values())
    assert {name: sum(one.rows.get(name, 0) for one in passes) for name in counted} == counted
    assert counted["interactions"] == counted["outbox"] == counted["compliance_records"] == 5
    assert [row["redacted_text"] != "" for row in rows(noon, "interactions")] == [True] * 5  # their escalations are open


def test_with_a_limit_more_is_said_until_all_texts_are_blank(noon):
    for number in range(3):
        record(noon, f"m{number}")
    with writing(noon.engine) as connection:
        more = [expire(connection, RetentionDays(), NOON + timedelta(days=400), limit=2).more for _ in range(2)]
    assert more == [True, False]
    assert {row["redacted_text"] for row in rows(noon, "interactions")} == {""}


def test_the_ledger_expires_in_passes_and_adds_them_up(ledger, monkeypatch):
    monkeypatch.setattr("orchestrator.store.ledger.EXPIRED_AT_ONCE", 2)
    for number in range(5):
        ledger.record(Message(text="hello"), make_outcome(f"m{number}", Category.INFORMATIONAL))
    later = Ledger(ledger.engine, ledger.environment, lambda: ledger.clock() + timedelta(days=400))
    assert later.expire(RetentionDays(audit_events=30))["interactions"] == 5
    assert [event["kind"] for _, event in ledger.events()][-1] == "expired"
    assert ledger.verify() == []
