"""kill -9 while messages are written: nothing acknowledged is lost, nothing is done twice, nothing is there by half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numbered
import pytest
from support import ROOT

POINTS = 500
SEED = 20_240_229
DRIVER = Path(__file__).with_name("crash_driver.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path}/crash.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_a_process_killed_at_500_points_loses_nothing_and_repeats_nothing(url, capsys):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(DRIVER), url, str(POINTS), str(SEED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
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
