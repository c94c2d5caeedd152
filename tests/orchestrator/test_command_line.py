import argparse
import io
import json
import logging
import os
import shlex
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import evals, make_workspace

from evals.data import Split, load_split
from orchestrator.__main__ import _parser, main
from orchestrator.commands.verbs import PROGRAM
from orchestrator.keys import Keys
from orchestrator.schema import Category, Message
from orchestrator.store.database import writing
from orchestrator.store.job_queue import JobQueue, NewJob
from orchestrator.store.jobs import Error
from orchestrator.store.ledger import Ledger
from orchestrator.store.retention import RetentionDays, would_expire
from orchestrator.testing import scripted_server
from orchestrator.testing_outcomes import make_outcome
from orchestrator.testing_receiver import Receiver, Said

TEXT = "the tablets made my lips swell, write to jo@example.org"


def record(ledger, request_id, category=Category.SAFETY_COMPLIANCE, *, message=TEXT, customer="C-1", **outcome) -> None:
    ledger.record(Message(text=message, metadata={"customer_id": customer}), make_outcome(request_id, category, **outcome))


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """Where the command line's database is; it is not there yet."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/store.db")
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    """The ledger of that database, with a safety message, a ticket and a question."""
    ledger = Ledger.at(os.environ["DATABASE_URL"], os.environ)
    record(ledger, "m1")
    record(ledger, "m2", Category.SERVICE_ACTION, message="refund for order 4432", customer="C-2")
    record(ledger, "m3", Category.INFORMATIONAL, message="what are your hours?", customer="C-2")
    yield ledger
    ledger.close()


@pytest.fixture
def cli(capsys):
    """Run a command and return its exit code, what it printed and what it said on stderr."""

    def run(line: str, *arguments: str) -> tuple[int, str, str]:
        code = main([*shlex.split(line), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def found(cli):
    """Run a command with --json and return what it printed, parsed; it must succeed."""

    def run(line: str, *arguments: str):
        code, out, err = cli(line, "--json", *arguments)
        assert code == 0, err
        return json.loads(out)

    return run


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [one for action in parser._actions if isinstance(action, argparse._SubParsersAction) for one in action.choices.values()]
    return [parser, *(deeper for one in below for deeper in parsers(one))]


# --- all verbs


def test_help_needs_no_heavy_library():
    heavy = ["sklearn", "alembic", "pyarrow", "sqlalchemy", "openai", "xllamacpp", "pandas"]
    code = f"""
import sys
from orchestrator.__main__ import main
try:
    main(["batch", "--help"])
except SystemExit:
    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr.strip() == "[]"


def test_every_verb_tells_what_it_does_and_its_examples_are_commands_it_takes():
    verbs = [one for one in parsers(_parser()) if not any(isinstance(action, argparse._SubParsersAction) for action in one._actions)]
    assert len(verbs) > 25
    for verb in verbs:
        assert verb.description
        assert verb.description.rstrip().endswith(".")
        examples = [line.strip() for line in (verb.epilog or "").splitlines() if line.startswith("  ")]
        assert examples, verb.prog
        for line in examples:
            assert line.startswith(verb.prog)
            command = shlex.split(line.removeprefix(PROGRAM), comments=True)
            command = command[: next((n for n, word in enumerate(command) if word in {"|", "<", ">>"}), None)]
            assert _parser().parse_args(command).run


@pytest.mark.parametrize("line", ["--database {url} --json tickets", "tickets --database {url} --json", "--json tickets --database {url}"])
def test_the_shared_options_may_stand_before_or_behind_a_verb(store, cli, monkeypatch, line):
    monkeypatch.delenv("DATABASE_URL")
    code, out, _ = cli(line.format(url=store.engine.url))
    assert code == 0
    assert [ticket["request_id"] for ticket in json.loads(out)] == ["m2"]


READERS = [
    "tickets",
    "escalations list",
    "audit export -",
    "audit tail",
    "feedback list",
    "outbox list",
    "jobs failed",
    "jobs redrive",
    "retention",
    "erase C-1 --by me --yes",
]


@pytest.mark.parametrize("line", READERS)
def test_a_database_that_is_not_there_is_a_mistake_and_is_not_made(path, cli, line):
    code, _, err = cli(line)
    assert code == 2
    assert f"there is no database at {path}" in err
    assert not path.exists()


@pytest.mark.parametrize("line", ["escalations", "audit verify"])
def test_a_new_installation_holds_and_is_told_to_be_new(path, cli, line):
    code, out, err = cli(line)
    assert (code, out.strip()) in {(0, "[]"), (0, "the audit trail holds, up to event 0")}
    assert f"there was no database at {path}" in err


@pytest.mark.parametrize("line", ["tickets", "migrate --status", "migrate", "classify hello", "batch {0}/m.csv --output {0}/o.csv"])
def test_a_file_that_is_no_database_is_a_mistake_not_a_traceback(path, cli, tmp_path, monkeypatch, line):
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:9/v1")
    (tmp_path / "m.csv").write_text("message\nhello\n")
    path.write_text("a letter")
    code, _, err = cli(line.format(tmp_path))
    assert (code, "no database of ours" in err) == (2, True)
    assert path.read_text() == "a letter"


@pytest.mark.parametrize(("name", "words"), [("A\udcffn", "--by: the name is not UTF-8"), ("n" * 129, "129 characters; at most 128")])
def test_a_name_that_cannot_be_stored_is_a_mistake(store, cli, name, words):
    code, _, err = cli("escalations claim m1 --by", name)
    assert (code, words in err) == (2, True)
    assert cli("escalations claim m1 --by", "n" * 128)[0] == 0


@pytest.mark.parametrize("line", ["tickets", "audit verify", "migrate", "classify hello"])
def test_a_server_that_does_not_answer_is_worth_another_try(cli, monkeypatch, line):
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:9/v1")
    code, _, err = cli(line, "--database", "postgresql://orchestrator:secret@127.0.0.1:9/none")
    assert code == 3
    assert err.startswith("error: the database does not answer")
    assert "secret" not in err


def test_a_reader_that_has_seen_enough_is_no_error(store):
    command = [sys.executable, "-m", "orchestrator", "audit", "export", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


# --- one message


def test_a_message_from_standard_input_is_handled_as_one_of_its_channel_and_customer(path, found, monkeypatch):
    written = b"where is my parcel?\r\nOrder ORD-100234, Gr\xfc\xdfe\n"  # not UTF-8, which is no reason to refuse it
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written), encoding="utf-8"))
    with scripted_server(lambda turns: {"A": 0.01, "B": 0.98, "C": 0.01}) as url:
        monkeypatch.setenv("LLM_BASE_URL", url)
        answer = found("classify - --channel mail --customer-id C-9")
    assert answer["category"] == "service_action"
    ledger = Ledger.at(os.environ["DATABASE_URL"], os.environ)
    assert ledger.read_message(answer["request_id"], "Ann", "to look") == "where is my parcel?\nOrder ORD-100234, Gr\ufffd\ufffde"
    assert ledger.erase("C-9", "me") == 1
    ledger.close()


def test_an_empty_message_is_a_mistake(path, cli):
    code, _, err = cli("classify '  '")
    assert (code, err) == (2, "error: the message cannot be classified: the message is empty\n")


# --- the queue


def test_an_escalation_is_claimed_acknowledged_and_resolved_by_one_person(store, cli, found):
    assert cli("escalations claim m1 --by Ann")[:2] == (0, "m1: claimed by Ann\n")
    code, _, err = cli("escalations claim m1 --by Ben")
    assert (code, "Ann has the escalation" in err) == (2, True)
    assert found("escalations acknowledge m1 --by Ann") == {"request_id": "m1", "status": "acknowledged", "by": "Ann"}
    assert cli("escalations resolve m1 --by Ann --note 'told jo@example.org' --label informational")[0] == 0
    assert found("escalations list") == []
    (one,) = found("escalations list --all")
    assert (one["status"], one["resolution"]) == ("resolved", "told [EMAIL]")
    assert [entry["label"] for entry in found("feedback list")] == ["informational"]
    assert store.verify() == []


def test_the_bare_verb_prints_the_queue_as_json(store, cli):
    (one,) = json.loads(cli("escalations")[1])
    assert (one["request_id"], one["status"]) == ("m1", "open")


def test_only_the_overdue_are_listed_when_asked_for(store, path, cli):
    record(store, "m4")
    change(path, "UPDATE escalations SET due_at = '2020-01-01 00:00:00.000000' WHERE request_id = 'm4'")
    _, out, _ = cli("escalations list --overdue")
    assert "m4" in out
    assert "m1" not in out


def test_a_message_is_read_by_somebody_for_a_reason_and_steers_no_terminal(store, cli, found):
    record(store, "m5", message="I feel faint\n\x1b]0;owned\x07 \x9b31m since the new tablets")
    code, out, _ = cli("escalations read m5 --by Ann --reason 'call back'")
    assert (code, out) == (0, "I feel faint\n\\x1b]0;owned\\x07 \\x9b31m since the new tablets\n")
    assert found("escalations read m1 --by Ann --reason 'call back'")["text"] == TEXT
    assert [event["kind"] for _, event in store.events()][-2:] == ["message_read", "message_read"]
    assert cli("escalations read nobody --by Ann --reason 'call back'")[0] == 2
    assert cli("escalations read m1 --by Ann --reason ' '")[0] == 2


def test_the_newest_tickets_come_first(store, cli, found):
    record(store, "m6", Category.SERVICE_ACTION)
    assert [ticket["request_id"] for ticket in found("tickets")] == ["m6", "m2"]
    assert "m2" not in cli("tickets --limit 1")[1]


# --- the audit trail


def test_a_trail_that_was_changed_is_found(store, path, cli):
    assert cli("audit verify") == (0, "the audit trail holds, up to event 3\n", "")
    change(path, "UPDATE audit_events SET event = replace(event, 'm2', 'm9')")
    code, out, _ = cli("audit verify --json")
    assert code == 1
    assert json.loads(out) == {"holds": False, "last_event": 3, "problems": ["audit event 2 was changed after it was written"]}


def test_a_copy_of_the_checkpoints_and_the_key_show_a_tail_that_was_cut_off(store, path, cli, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(store.checkpoints_dir), str(copy)], check=True)
    change(path, "DELETE FROM audit_events WHERE id = 3")
    for file in ("head.json", "checkpoints.jsonl"):
        (store.checkpoints_dir / file).unlink(missing_ok=True)
    code, out, _ = cli(f"audit verify --checkpoints {copy} --public-key {copy}/public_key.pem")
    assert (code, "its end was cut off" in out) == (1, True)
    assert cli(f"audit verify --checkpoints {tmp_path}/none")[0] == 2
    assert cli(f"audit verify --public-key {tmp_path}/none")[0] == 2
    assert cli(f"audit verify --public-key {path}")[0] == 2


def test_the_last_events_are_told(store, cli):
    assert [line.split()[0] for line in cli("audit tail -n 2")[1].splitlines()] == ["2", "3"]
    assert [json.loads(line)["request_id"] for line in cli("audit tail --json")[1].splitlines()] == ["m1", "m2", "m3"]


# --- labels


def test_what_people_corrected_becomes_rows_of_the_harness(store, cli, tmp_path):
    assert cli("correct m2 informational --by Ann --note 'only asks'")[1] == "m2: service_action corrected to informational\n"
    assert cli("correct m1 safety_compliance --by Ann")[0] == 0
    project, file = make_workspace(tmp_path / "project"), tmp_path / "labels.csv"
    assert cli(f"feedback export {file} --corrections")[1] == f"1 labelled messages written to {file}\n"
    before = load_split(project.datasets, Split.DEV)
    importing = ["import", str(file), "--split", "dev", "--text", "message", "--label", "label", "--channel", "channel"]
    assert evals(project, *importing, "--dry-run") == 0
    assert load_split(project.datasets, Split.DEV) == before
    assert evals(project, *importing) == 0
    (added,) = load_split(project.datasets, Split.DEV)[len(before) :]
    assert (added.message, added.label, added.channel) == ("refund for order 4432", "informational", "chat")


def test_all_labels_are_exported_redacted_with_the_last_one_given(store, cli, tmp_path):
    for label in ("informational", "safety_compliance"):
        cli(f"correct m1 {label} --by Ann")
    cli(f"feedback export {tmp_path}/labels.jsonl")
    (row,) = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert row["label"] == row["decided"] == "safety_compliance"
    assert "jo@example.org" not in row["message"]


# --- forgetting


def test_erasing_asks_first_and_leaves_the_trail_whole(store, cli, found):
    assert cli("erase C-1 --by desk")[0] == 2
    assert found("escalations read m1 --by Ann --reason 'call back'")["text"] == TEXT
    assert found("erase C-1 --by desk --yes") == {"customer_id": "C-1", "messages": 1, "by": "desk"}
    assert cli("escalations read m1 --by Ann --reason 'call back'")[0] == 2
    assert store.verify() == []
    assert cli("erase C-1 --by desk --yes")[1] == "there is no message of this customer\n"


def test_a_dry_run_of_the_retention_counts_what_the_real_one_then_deletes(ledger):
    later = Ledger(ledger.engine, ledger.environment, lambda: datetime.now(UTC) + timedelta(days=800))
    for number in range(3):
        record(ledger, f"m{number}", Category.SERVICE_ACTION)
    days = RetentionDays(audit_events=700)
    with writing(ledger.engine) as connection:
        counted = would_expire(connection, days, later.clock())
    assert ledger.verify() == []
    assert len(ledger.tickets()) == 3
    assert not (ledger.checkpoints_dir / "pruned.jsonl").exists()
    assert later.expire(days) == counted
    assert counted["tickets"] == counted["interactions"] == 3


def test_the_retention_says_what_is_kept_for_how_long(store, cli, found, monkeypatch):
    monkeypatch.setenv("RETENTION_DAYS", '{"tickets": 5}')
    told = found("retention --dry-run")
    assert told["dry_run"]
    assert told["days"]["tickets"] == 5
    assert set(told["rows"].values()) == {0}
    assert "0 row(s) deleted" in cli("retention")[1]
    monkeypatch.setenv("RETENTION_DAYS", '{"tickets": "soon"}')
    assert cli("retention")[0] == 2


# --- keys


def test_new_keys_are_printed_as_the_environment_takes_them(cli, found):
    printed = dict(line.split("=", 1) for line in cli("keys new")[1].splitlines())
    assert Keys.of(printed).origin == "the environment"
    assert Keys.of(found("keys new")).encryption != Keys.of(printed).encryption


def test_a_new_key_file_is_its_owners_alone_and_never_overwritten(cli, tmp_path):
    file = tmp_path / "deep" / "keys.json"
    code, out, _ = cli(f"keys new {file}")
    held = file.read_text()
    assert code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(secret in out for secret in json.loads(held)["encryption"])
    code, _, err = cli(f"keys new {file}")
    assert (code, "holds keys already" in err, file.read_text()) == (2, True, held)


def test_after_a_rotation_the_new_key_alone_opens_what_was_sealed_before(store, cli, found, tmp_path, monkeypatch):
    file = tmp_path / "own.json"
    file.write_text(Path(os.environ["KEY_FILE"]).read_text())
    file.chmod(0o600)
    monkeypatch.setenv("KEY_FILE", str(file))
    assert found("keys rotate") == {"file": str(file), "encryption_keys": 2, "data_keys": 1}
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"encryption": held["encryption"][:1]}))
    assert found("escalations read m1 --by Ann --reason 'call back'")["text"] == TEXT
    assert cli("audit verify")[0] == 0


def test_of_two_rotations_at_once_neither_loses_the_others_key(store, path, tmp_path, monkeypatch, capsys):
    file = tmp_path / "own.json"
    file.write_text(Path(os.environ["KEY_FILE"]).read_text())
    first = Keys.read(file).encryption
    monkeypatch.setenv("KEY_FILE", str(file))
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(main, [["keys", "rotate"]] * 4)) == [0] * 4
    rotated = Keys.read(file)
    assert (len(set(rotated.encryption)), rotated.encryption[-1:]) == (5, first)
    with closing(sqlite3.connect(path)) as connection:
        wrapped = [row[0] for row in connection.execute("SELECT wrapped_key FROM data_keys")]
    assert all(Keys(rotated.encryption[:1], rotated.signing, rotated.pseudonym).unwrap(one) for one in wrapped)


def test_keys_of_the_environment_are_rotated_there_and_then_rewrapped(store, cli, found, monkeypatch):
    old = Keys.read(Path(os.environ["KEY_FILE"]))
    monkeypatch.setenv("AUDIT_SIGNING_KEY", old.signing)
    monkeypatch.setenv("PSEUDONYM_KEY", old.pseudonym)
    monkeypatch.setenv("ENCRYPTION_KEYS", ",".join(old.rotated().encryption))
    code, _, err = cli("keys rotate")
    assert (code, "ENCRYPTION_KEYS" in err) == (2, True)
    assert found("keys rewrap") == {"data_keys": 1}
    monkeypatch.setenv("ENCRYPTION_KEYS", os.environ["ENCRYPTION_KEYS"].split(",")[0])
    assert found("escalations read m1 --by Ann --reason 'call back'")["text"] == TEXT


def test_keys_are_shown_without_a_secret_and_none_is_made(path, cli, monkeypatch):
    keys = Keys.read(Path(os.environ["KEY_FILE"]))
    code, out, _ = cli("keys show --json")
    assert (code, json.loads(out)["public_key"]) == (0, keys.public_key)
    assert not any(secret in out for secret in (*keys.encryption, keys.signing, keys.pseudonym))
    monkeypatch.delenv("KEY_FILE")
    assert cli("keys show")[0] == 2
    assert not (path.parent / "keys.json").exists()


# --- the schema


def test_the_schema_goes_up_and_down_and_says_where_it_is(path, cli, found):
    assert cli("migrate --status")[0] == 2
    assert found("migrate --to 0001")["revision"] == "0001"
    code, out, _ = cli("migrate --status --json")
    assert (code, json.loads(out)["up_to_date"]) == (1, False)
    told = found("migrate")
    assert (told["before"], told["up_to_date"]) == ("0001", True)
    assert cli("migrate --status")[0] == 0
    assert cli("migrate --down 0001")[0] == 2
    assert found("migrate --down 0001 --yes")["revision"] == "0001"
    code, _, err = cli("migrate --to 9999")
    assert (code, "9999" in err) == (2, True)


# --- queued messages


def test_what_nobody_could_handle_is_listed_and_queued_again(store, cli, found):
    assert cli("jobs failed")[1] == "there are none\n"
    queue = JobQueue(store)
    queue.submit(
        [one := NewJob("desk", Message(text="refund me")), other := NewJob("desk", Message(text="my throat is closing up"))]
    ).result()
    for job in queue.take(limit=2, lease_s=60.0).result():
        queue.finish(job, error=Error.INTERNAL).result()
    assert [(job["id"], job["red_flag"], job["error"]) for job in found("jobs failed")] == [
        (other.id, True, "internal"), (one.id, False, "internal")
    ]  # fmt: skip
    assert other.id in cli("jobs failed --limit 1")[1]
    assert cli(f"jobs show {other.id} --by Ann --reason 'call back'")[1] == "my throat is closing up\n"
    assert cli(f"jobs show {other.id} --by Ann --reason ''")[0] == 2
    assert cli("jobs close nobody --by Ann")[0] == 2
    assert found(f"jobs redrive {one.id}") == {"redriven": 1}
    assert cli("jobs redrive")[1] == "1 job(s) are queued again; the workers take them\n"
    for job in queue.take(limit=2, lease_s=60.0).result():
        queue.finish(job, error=Error.INTERNAL).result()
    assert cli(f"jobs close {one.id} --by Ann")[1] == f"job {one.id} is closed\n"
    assert [job["id"] for job in found("jobs failed")] == [other.id]


# --- other systems


def test_the_relay_delivers_what_is_due_and_dead_letters_are_sent_again(store, cli, found, monkeypatch):
    with Receiver(lambda _, number: Said(status=410 if number < 2 else 200)) as receiver:  # the first two are refused for good
        monkeypatch.setenv("WEBHOOK_SECRET", "a secret of the tests")
        monkeypatch.setenv("WEBHOOK_TICKETS_URL", receiver.url)
        monkeypatch.setenv("WEBHOOK_PAGING_URL", receiver.url)
        code, out, _ = cli("relay --once --json")
        assert (code, json.loads(out)) == (1, {"delivered": 0, "retried": 0, "dead": 2, "overdue": 0})
        dead = found("outbox list --dead")
        assert {one["topic"] for one in dead} == {"ticket.opened", "escalation.opened"}
        assert found(f"outbox redrive {dead[0]['id']}") == {"redriven": 1}
        assert cli("outbox redrive")[1] == "1 dead letter(s) are due again; the relay delivers them\n"
        assert cli("relay --once")[:2] == (0, "2 delivered, 0 to be tried again, 0 given up; 0 newly overdue\n")
    assert cli("outbox list --dead")[1] == "there are no dead letters\n"
    assert {one["status"] for one in found("outbox list")} == {"delivered"}


def test_a_relay_without_anybody_to_tell_is_a_mistake(store, cli):
    assert cli("relay")[0] == 2


def test_the_relay_does_not_log_the_token_of_a_webhook(store, cli, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.getLogger("httpx2"), "level", logging.NOTSET)  # what the verb sets does not outlast the test
    with Receiver() as receiver:
        monkeypatch.setenv("WEBHOOK_SECRET", "a secret of the tests")
        monkeypatch.setenv("WEBHOOK_TICKETS_URL", f"{receiver.url}/hook?token=s3cret")

        def stop_when_told() -> None:
            deadline = time.monotonic() + 30
            while not receiver.requests and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=stop_when_told).start()
        assert cli("relay")[0] == 0
        assert receiver.requests
    assert "s3cret" not in caplog.text
