"""kill -9 while messages are written: nothing acknowledged is lost, nothing is done twice, nothing is there by half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numbered
import pytest
from sqlalchemy import select, text
from support import ROOT

from orchestrator.store import audit, migrate, tables
from orchestrator.store.database import database_url, open_engine
from orchestrator.store.ledger import Ledger

POINTS = 500
SEED = 20_240_229
FOLDER = Path(__file__).parent
EVERY = 7  # statements of a migration


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path}/crash.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_a_process_killed_at_500_points_loses_nothing_and_repeats_nothing(url, capsys):
    told = json.loads(drive("crash_driver.py", url, POINTS, SEED))
    held = numbered.assert_holds(url, told["acknowledged"])
    kinds = told["kinds"]
    with capsys.disabled():
        print(
            f"\n{url.split(':')[0]}: {POINTS} kills, {len(told['acknowledged'])} acknowledged, {len(held)} held; in doubt and retried: "
            f"{told['in_doubt_and_written']} were written, {told['in_doubt_and_lost']} were not; {kinds}"
        )
    assert sum(kinds.values()) == POINTS
    assert len(kinds) == 7
    assert told["in_doubt_and_written"] > 0
    assert told["in_doubt_and_lost"] > 0
    assert len(held) <= told["submitted"]


def test_a_migration_killed_again_and_again_is_done_whole_by_the_next_start(url):
    engine = open_engine(database_url(url))
    migrate.upgrade(engine, "0001")
    event = {"at": "2026-01-01T00:00:00+00:00", "request_id": "old", "release": "r", "decision": {"confidence": 0.5}}
    columns = "request_id, created_at, channel, redacted_text, category, release, classification"
    with engine.begin() as connection:
        values = "'old', '2026-01-01 00:00:00', 'chat', 'an old message', 'informational', 'r', '{}'"
        connection.execute(text(f"INSERT INTO interactions ({columns}) VALUES ({values})"))
        row = {"previous": audit.GENESIS, "hash": audit.link(audit.GENESIS, audit.canonical(event)), "event": json.dumps(event)}
        connection.execute(text("INSERT INTO audit_events (id, previous_hash, hash, event) VALUES (1, :previous, :hash, :event)"), row)
    engine.dispose()
    assert int(drive("migration_driver.py", url, EVERY)) >= 5
    ledger = Ledger.at(url, os.environ)
    numbered.write(ledger, 0, "new")
    with ledger.engine.connect() as connection:
        assert set(connection.scalars(select(tables.Interaction.redacted_text))) >= {"an old message"}
    assert [event["request_id"] for _, event in ledger.events()] == ["old", "new"]
    assert ledger.verify() == []
    ledger.close()


def drive(script, *arguments):
    """Run a driver, a process of its own because it forks, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout
