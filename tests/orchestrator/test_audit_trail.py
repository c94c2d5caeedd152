import hashlib
import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.errors import OrchestratorError
from orchestrator.keys import Keys
from orchestrator.schema import Message
from orchestrator.store.audit import GENESIS, canonical, link
from orchestrator.store.checkpoints import EVERY, Checkpoints
from orchestrator.store.ledger import Ledger
from orchestrator.store.retention import RetentionDays
from orchestrator.testing_outcomes import make_outcome

EVENTS = 6


@pytest.fixture
def trail(ledger):
    for number in range(EVENTS):
        ledger.record(Message(text="hello"), make_outcome(f"m{number}"))
    assert ledger.verify() == []
    return ledger


def change(ledger, *statements):
    with ledger.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize("number", range(1, EVENTS + 1))
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit_events SET event = replace(event, 'test', 'text') WHERE id = {}", "was changed after it was written"),
        ("UPDATE audit_events SET event = event || ' ' WHERE id = {}", "was changed after it was written"),
        ("UPDATE audit_events SET hash = replace(hash, substr(hash, 1, 8), '00000000') WHERE id = {}", "changed|not the one|follow"),
        ("DELETE FROM audit_events WHERE id = {}", "does not follow|its end was cut off"),
        ("UPDATE audit_events SET id = id + 100 WHERE id = {}", "does not follow|its end was cut off|missing"),
    ],
)
def test_any_edited_deleted_or_moved_event_is_found(trail, number, statement, found):
    change(trail, statement.format(number))
    assert any(re.search(found, problem) for problem in trail.verify())


@pytest.mark.parametrize("first", range(1, EVENTS))
def test_two_neighbours_that_changed_places_are_found(trail, first):
    change(
        trail,
        f"UPDATE audit_events SET id = 99 WHERE id = {first}",
        f"UPDATE audit_events SET id = {first} WHERE id = {first + 1}",
        f"UPDATE audit_events SET id = {first + 1} WHERE id = 99",
    )
    assert any("does not follow" in problem for problem in trail.verify())


@pytest.mark.parametrize("kept", range(EVENTS))
def test_any_cut_tail_is_found(trail, kept):
    change(trail, f"DELETE FROM audit_events WHERE id > {kept}")
    assert any("its end was cut off" in problem for problem in trail.verify())


def rewrite(ledger, first):
    """Change every event from ``first`` on, with right hashes, as somebody with the tables alone can."""
    with ledger.engine.begin() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM audit_events ORDER BY id")).mappings()][first - 1 :]
        previous = rows[0]["previous_hash"]
        connection.execute(text(f"DELETE FROM audit_events WHERE id >= {first}"))
        for row in rows:
            changed = row | {"event": canonical(json.loads(row["event"]) | {"release": "forged"}), "previous_hash": previous}
            changed["hash"] = previous = link(previous, changed["event"])
            columns = "INSERT INTO audit_events (id, previous_hash, hash, event) VALUES (:id, :previous_hash, :hash, :event)"
            connection.execute(text(columns), changed)


@pytest.mark.parametrize("first", [1, 3, EVENTS])
def test_a_chain_rewritten_with_right_hashes_is_found_also_after_it_has_grown(trail, first):
    rewrite(trail, first)
    assert trail.verify() == [f"audit event {EVENTS} is not the one that was signed"]
    trail.record(Message(text="hello"), make_outcome("later"))
    trail.record(Message(text="hello"), make_outcome("later still"))
    assert trail.verify() == [f"audit event {EVENTS} is not the one that was signed"]


def test_a_chain_that_retention_cut_off_at_its_head_grows_without_complaint(trail):
    gone = trail.expire(RetentionDays(audit_events=1))
    assert not gone.get("audit_events")  # nothing is old yet
    later = Ledger(trail.engine, trail.environment, lambda: trail.clock() + timedelta(days=9))
    assert later.expire(RetentionDays(audit_events=1))["audit_events"] == EVENTS - 1
    later.record(Message(text="hello"), make_outcome("later"))
    assert later.verify() == []


def test_an_event_put_in_is_found(trail):
    change(trail, "UPDATE audit_events SET id = 7 WHERE id = 6")
    forged = canonical({"kind": "corrected"})
    with trail.engine.begin() as connection:
        values = {"previous": hashlib.sha256(b"x").hexdigest(), "hash": link(GENESIS, forged), "event": forged}
        connection.execute(text("INSERT INTO audit_events (id, previous_hash, hash, event) VALUES (6, :previous, :hash, :event)"), values)
    assert trail.verify()


def test_a_head_signed_by_another_key_is_found(trail, tmp_path):
    other = tmp_path / "other.json"
    Keys.new().write(other)
    change(trail, "DELETE FROM audit_events WHERE id = 6")
    with trail.engine.connect() as connection:
        row = connection.execute(text("SELECT hash FROM audit_events WHERE id = 5")).one()
    (trail.checkpoints_dir / "head.json").unlink()
    Checkpoints(trail.checkpoints_dir, Keys.read(other)).advance(id=5, hash=row.hash, at=trail.clock())
    assert any("the signature of event 5 is not of this key" in problem for problem in trail.verify())


def test_a_missing_head_is_said(trail):
    (trail.checkpoints_dir / "head.json").unlink()
    assert any("there is no signed head" in problem for problem in trail.verify())


def test_a_head_that_is_not_one_is_named_by_file_and_line(trail):
    (trail.checkpoints_dir / "head.json").write_text("{}\n")
    with pytest.raises(OrchestratorError, match=r"head.json:1 is no checkpoint"):
        trail.verify()


def test_an_auditor_verifies_with_the_public_key_alone(trail):
    without_keys = Ledger(trail.engine, {name: value for name, value in trail.environment.items() if name != "KEY_FILE"})
    public = (trail.checkpoints_dir / "public_key.pem").read_text()
    assert without_keys.verify(trail.checkpoints_dir, public) == []


def test_an_older_head_changes_nothing_and_every_thousandth_event_is_kept(tmp_path, sqlite):
    checkpoints = Checkpoints(tmp_path, sqlite.keys)
    for number in (1, EVERY - 1, EVERY + 5, EVERY + 2, 3 * EVERY + 1):
        checkpoints.advance(id=number, hash=f"{number:064}", at=sqlite.clock())
    assert json.loads((tmp_path / "head.json").read_text())["id"] == 3 * EVERY + 1
    kept = [json.loads(line)["id"] for line in (tmp_path / "checkpoints.jsonl").read_text().splitlines()]
    assert kept == [EVERY + 5, 3 * EVERY + 1]


def test_a_folder_that_cannot_be_written_does_not_lose_what_was_committed(sqlite, caplog):
    sqlite.checkpoints_dir.parent.mkdir(parents=True, exist_ok=True)
    sqlite.checkpoints_dir.write_text("a file where the folder should be")
    sqlite.record(Message(text="hello"), make_outcome("m1"))
    assert [event["request_id"] for _, event in sqlite.events()] == ["m1"]
    assert "could not be signed" in caplog.text
