import json
import os
import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from support import free_port

from orchestrator.__main__ import main
from orchestrator.doctor.outside import check_outside
from orchestrator.doctor.store import check_store
from orchestrator.keys import Keys
from orchestrator.schema import Category, Message
from orchestrator.service.table_orders import seed
from orchestrator.store.ledger import Ledger
from orchestrator.testing_outcomes import make_outcome


@contextmanager
def model_server(status: int, *names: str):
    """A server that tells its models with a status, and yields its base URL and the keys it was shown."""
    shown = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            body = json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://user:hidden@127.0.0.1:{server.server_address[1]}/v1", shown
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def url(tmp_path, monkeypatch) -> str:
    value = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("DATABASE_URL", value)
    return value


@pytest.fixture
def store(url):
    ledger = Ledger.at(url, os.environ)
    for request_id, category in (("m1", Category.SAFETY_COMPLIANCE), ("m2", Category.SERVICE_ACTION)):
        ledger.record(Message(text="my lips swell"), make_outcome(request_id, category))
    yield ledger
    ledger.close()


def found(url: str, environment=os.environ) -> dict[str, tuple[str, str, str]]:
    return {one.name: (one.status.value, one.told, one.advice) for one in check_store(url, environment)}


def change(url: str, statement: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(statement)


def test_where_all_is_well_it_says_so_and_exits_with_0(store, monkeypatch, capsys):
    with model_server(200, "smollm2-135m") as (base_url, _):
        monkeypatch.setenv("LLM_BASE_URL", base_url)
        assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"]
    status = {one["name"]: one["status"] for one in told["findings"]}
    assert status == {
        "database": "ok",
        "data folder": "ok",
        "keys": "ok",
        "keys fit": "ok",
        "audit trail": "ok",
        "escalations": "ok",
        "outbox": "ok",
        "champion": "ok",
        "LLM": "ok",
        "without the LLM": "ok",
        "webhooks": "warn",
        "orders": "warn",
    }
    assert all(bool(one["advice"]) == (one["status"] != "ok") for one in told["findings"])


def test_no_secret_is_printed(store, monkeypatch, capsys):
    keys = Keys.read(Path(os.environ["KEY_FILE"]))
    secrets = [*keys.encryption, keys.signing, keys.pseudonym, "llm-key", "hook-secret", "token", "hidden", "db-password"]
    monkeypatch.setenv("LLM_API_KEY", "llm-key")
    monkeypatch.setenv("WEBHOOK_SECRET", "hook-secret")
    monkeypatch.setenv("WEBHOOK_PAGING_URL", f"http://127.0.0.1:{free_port()}/token")
    with model_server(401) as (base_url, shown):
        monkeypatch.setenv("LLM_BASE_URL", base_url)
        for database in (os.environ["DATABASE_URL"], "postgresql://somebody:db-password@127.0.0.1:9/none"):
            for form in ("--json", "--database"):  # as JSON, and for people
                arguments = ["doctor", "--database", database, *([form] if form == "--json" else [])]
                assert main(arguments) == 1
    printed = "".join(capsys.readouterr())
    assert shown
    assert [secret for secret in secrets if secret in printed] == []
    assert "the key is refused" in printed


@pytest.mark.parametrize(
    ("status", "names", "code", "words"),
    [
        (200, ["another"], 1, "has no such model"),
        (500, [], 1, "does not answer (HTTP 500)"),
        (404, [], 0, "does not tell its models"),
    ],
)
def test_the_models_server_is_asked_for_its_models(store, monkeypatch, capsys, status, names, code, words):
    with model_server(status, *names) as (base_url, _):
        monkeypatch.setenv("LLM_BASE_URL", base_url)
        assert main(["doctor"]) == code
    assert words in capsys.readouterr().out


def test_nothing_is_made(tmp_path, url, monkeypatch):
    monkeypatch.delenv("KEY_FILE")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "none"))
    before = sorted(tmp_path.rglob("*"))
    told = found(url)
    assert sorted(tmp_path.rglob("*")) == before
    assert told["database"][0] == told["keys"][0] == "warn"
    assert "to be made" in told["data folder"][1]


def test_an_older_schema_is_told_and_not_migrated(store, url):
    assert main(["migrate", "--down", "0001", "--yes"]) == 0
    status, told, advice = found(url)["database"]
    assert (status, "its schema is at 0001" in told, "`migrate`" in advice) == ("warn", True, True)
    assert main(["migrate", "--status"]) == 1


def test_keys_that_do_not_open_what_is_stored_are_found(store, url, tmp_path):
    Keys.new().write(tmp_path / "others.json")
    told = found(url, os.environ | {"KEY_FILE": str(tmp_path / "others.json")})
    assert told["keys"][0] == "ok"
    assert told["keys fit"][0] == "fail"
    assert told["audit trail"][0] == "fail"  # nor is its head signed with them


def test_a_key_file_that_others_may_read_is_told(store, url, tmp_path):
    open_ = tmp_path / "open.json"
    open_.write_text(Path(os.environ["KEY_FILE"]).read_text())
    open_.chmod(0o644)
    status, _, advice = found(url, os.environ | {"KEY_FILE": str(open_)})["keys"]
    assert (status, advice) == ("warn", f"chmod 600 {open_}")


def test_a_trail_whose_end_was_cut_off_or_lost_its_signed_head_is_found(store, url):
    change(url, "DELETE FROM audit_events WHERE id = 2")
    assert found(url)["audit trail"][:2] == ("fail", "it ends at event 1, but event 2 was signed")
    (store.checkpoints_dir / "head.json").unlink()
    assert "no signed head" in found(url)["audit trail"][1]


@pytest.mark.parametrize(("severity", "status"), [("urgent", "fail"), ("routine", "warn")])
def test_overdue_escalations_are_told(store, url, severity, status):
    change(url, f"UPDATE escalations SET due_at = '2020-01-01 00:00:00.000000', severity = '{severity}'")
    assert found(url)["escalations"][0] == status


@pytest.mark.parametrize(("topic", "status"), [("ticket.opened", "warn"), ("escalation.opened", "fail")])
def test_dead_letters_are_told(store, url, topic, status):
    change(url, f"UPDATE outbox SET status = 'dead', last_error = 'HTTP 410' WHERE topic = '{topic}'")
    assert found(url)["outbox"][:2] == (status, f"given up: 1 {topic}")


def test_an_outbox_that_nobody_empties_is_told(store, url):
    change(url, "UPDATE outbox SET created_at = '2020-01-01 00:00:00.000000'")
    status, told, advice = found(url)["outbox"]
    assert (status, "2 wait, 2 of them for more than 5 minutes" in told, "`relay`" in advice) == ("warn", True, True)


def test_a_database_that_is_none_or_does_not_answer_is_told_and_the_rest_is_looked_at(tmp_path):
    (tmp_path / "letter").write_text("dear sirs")
    for url in (f"sqlite:///{tmp_path}/letter", "postgresql://127.0.0.1:9/none", "mysql://here/none", "no url"):
        assert found(url)["database"][0] == "fail"


def test_webhooks_that_cannot_be_reached_or_are_set_wrongly_are_told():
    wrong = check_outside({"WEBHOOK_TICKETS_URL": "https://127.0.0.1/x"})[0]
    assert (wrong.status, "WEBHOOK_SECRET" in wrong.told) == ("fail", True)
    away = {"WEBHOOK_TICKETS_URL": f"https://127.0.0.1:{free_port()}/x", "WEBHOOK_SECRET": "s"}
    assert (check_outside(away)[0].status, check_outside(away)[0].name) == ("fail", "webhook of tickets")


def orders(url: str) -> tuple[str, str]:
    one = check_outside({"ORDERS_URL": url})[-1]
    return one.status.value, one.told


def test_the_order_system_is_asked_for_an_order_that_does_not_exist(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    assert orders(str(engine.url))[0] == "fail"
    assert not (tmp_path / "shop.db").exists()
    seed(engine)
    engine.dispose()
    assert orders(f"sqlite:///{tmp_path}/shop.db")[0] == "ok"
    status, told = orders(f"http://127.0.0.1:{free_port()}/orders")
    assert (status, "demonstration" in told) == ("fail", False)
    status, told = orders("postgresql+nothing://somebody:db-password@here/none")
    assert (status, "db-password" in told) == ("fail", False)
