"""64 writers in four processes on one database: one chain without a fork or a gap, and nobody's write is lost."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numbered
import pytest
from support import ROOT

PROCESSES, THREADS, EACH = 4, 16, 160
CHILD = Path(__file__).with_name("writers_child.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path}/writers.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_64_writers_in_four_processes_make_one_chain_and_lose_nothing(url):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with ExitStack() as stack:
        children = []
        for process in range(PROCESSES):
            command = [sys.executable, str(CHILD), url, str(process * EACH), str(EACH), str(THREADS)]
            child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            children.append(stack.enter_context(child))
            stack.callback(child.kill)
        assert [child.stdout.readline() for child in children] == ["ready\n"] * PROCESSES  # the schema is made by all four at once, too
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        told = [line for child in children for line in child.communicate(timeout=120)[0].split()]
        assert [child.returncode for child in children] == [0] * PROCESSES
    everything = range(PROCESSES * EACH)
    assert sorted(told) == sorted(f"r{number}" for number in everything)
    assert numbered.assert_holds(url, everything) == set(everything)
