"""kill -9 of a worker at seeded points: every queued message is done, once."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from in_process import stored
from support import ROOT

from orchestrator.store import tables
from orchestrator.store.ledger import Ledger

POINTS = int(os.environ.get("JOBS_KILLS", "20"))
SEED = 20_261_127


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_worker_killed_again_and_again_loses_no_message_and_does_none_twice(request, tmp_path, store):
    url = request.getfixturevalue("postgres_url") if store == "postgres" else f"sqlite:///{tmp_path}/crash.db"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(Path(__file__).with_name("jobs_driver.py")), url, str(POINTS), str(SEED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stderr
    queued = Counter(json.loads(run.stdout))
    assert len(queued) == 2 + 2 * POINTS
    assert stored(url, tables.Job.status) == {"done": len(queued)}
    for once in (tables.Job.id, tables.Interaction.request_id, tables.Ticket.request_id):
        assert stored(url, once) == queued
    told = stored(url, tables.OutboxMessage.key)
    assert {f"ticket.opened:{one}" for one in queued} == {key for key in told if key.startswith("ticket")}
    assert set(stored(url, tables.IdempotencyKey.key)) == set(queued)
    assert not any(name.startswith("job:") for name in stored(url, tables.DataKey.request_id))
    ledger = Ledger.at(url, os.environ)
    assert Counter(event["request_id"] for _, event in ledger.events()) == queued
    assert ledger.verify() == []
    ledger.close()
