import json
import os
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Category, Message
from orchestrator.store import migrate
from orchestrator.store.audit import GENESIS, link
from orchestrator.store.database import database_url, open_engine
from orchestrator.store.ledger import Ledger
from orchestrator.store.tables import Base
from orchestrator.testing_outcomes import make_outcome


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def engine(url):
    engine = open_engine(database_url(url))
    yield engine
    engine.dispose()


def test_the_newest_schema_is_that_of_the_tables(engine):
    migrate.upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []


def test_the_newest_step_is_told_without_alembic_as_alembic_tells_it(engine):
    migrate.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == migrate.latest() == migrate.current(engine)
        assert ScriptDirectory(str(migrate.FOLDER)).get_current_head() == migrate.latest()


def test_a_schema_that_is_up_to_date_costs_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    Ledger.at(url).close()
    code = f"import sys; from orchestrator.store.ledger import Ledger; Ledger.at({url!r}); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_database_from_before_there_were_migrations_is_kept_and_its_chain_still_verifies(url, engine):
    old_events = [{"request_id": f"m{number}", "release": "old", "at": "2026-11-24T00:00:00+00:00"} for number in range(3)]
    migrate.upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))  # such a database has none
        connection.execute(
            text("INSERT INTO interactions VALUES ('m1', '2026-11-24 10:00:00', 'chat', 'hello', 'safety_compliance', 'old', '{\"a\": 1}')")
        )
        connection.execute(text("INSERT INTO tickets (request_id, intent, ticket) VALUES ('m1', 'refund', '{\"intent\": \"refund\"}')"))
        connection.execute(text("INSERT INTO compliance_records (request_id, severity, record) VALUES ('m1', 'urgent', '{}')"))
        connection.execute(
            text("INSERT INTO escalations (request_id, reason, urgent, created_at) VALUES ('m1', 'why', :urgent, '2026-11-24 10:00:00')"),
            {"urgent": True},
        )
        previous = GENESIS
        for event in old_events:
            follows, previous = previous, link(previous, json.dumps(event, sort_keys=True))
            connection.execute(
                text("INSERT INTO audit_events (previous_hash, hash, event) VALUES (:previous, :hash, :event)"),
                {"previous": follows, "hash": previous, "event": json.dumps(event)},
            )
    ledger = Ledger.at(url, os.environ)
    ledger.record(Message(text="new"), make_outcome("m2", Category.SERVICE_ACTION))
    assert [event for _, event in ledger.events()][:3] == old_events
    assert ledger.verify() == []
    (waiting,) = ledger.escalations()
    assert (waiting.request_id, waiting.severity, waiting.due_at.isoformat()) == ("m1", "urgent", "2026-11-24T11:00:00+00:00")
    assert [ticket["request_id"] for ticket in ledger.tickets()] == ["m2", "m1"]
    ledger.close()


def test_the_way_back_keeps_what_the_old_tables_can_hold_and_the_way_forth_again_verifies(url, engine):
    ledger = Ledger.at(url, os.environ)
    for number, category in enumerate(Category):
        ledger.record(Message(text="hello"), make_outcome(f"m{number}", category))
    migrate.downgrade(engine, "0001")
    assert set(inspect(engine).get_table_names()) == {
        "alembic_version",
        "audit_events",
        "compliance_records",
        "escalations",
        "interactions",
        "tickets",
    }
    migrate.upgrade(engine)
    assert ledger.verify() == []
    assert len(ledger.tickets()) == len(ledger.escalations()) == 1
    ledger.record(Message(text="hello"), make_outcome("m9", Category.SERVICE_ACTION))
    ledger.close()
    migrate.downgrade(engine, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_processes_that_start_at_once_make_one_schema(url):
    program = "import os, sys; from orchestrator.store.ledger import Ledger; Ledger.at(sys.argv[1], os.environ).close()"
    started = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, said


def test_a_revision_that_does_not_exist_is_named(engine):
    with pytest.raises(OrchestratorError, match=r"'nine'.*the newest is"):
        migrate.upgrade(engine, "nine")


@pytest.mark.parametrize(("given", "words"), [("mysql://x/y", "is not supported"), ("nonsense", "is no database URL")])
def test_another_database_is_refused_with_the_two_that_are_not(given, words):
    with pytest.raises(OrchestratorError, match=words):
        Ledger.at(given)
