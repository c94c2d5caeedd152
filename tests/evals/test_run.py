import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT

from evals.cache import Cached, ReplyCache
from evals.data import load_examples
from evals.run import EVALUATED, evaluated_rows, run, sample
from orchestrator.catalogue import find_model
from orchestrator.llm import Reply
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import FailureKind
from orchestrator.testing import FaultyLLM, ScriptedLLM, scripted_server

SHARES = {"question": 0.2, "order": 0.1, "harm": 0.7}


@pytest.fixture
def task(rows):
    prompt = load_prompt(ROOT / "prompts" / "classify-002.yaml")
    return rows[:40], prompt, Renderer(prompt, find_model("smollm2-135m"), load_examples(ROOT / "datasets"))


def go(task, llm, concurrency=4):
    return asyncio.run(run(*task, llm, concurrency=concurrency, title="test"))


def test_answers_come_in_the_order_of_the_rows(task):
    answers = go(task, ScriptedLLM(lambda _: SHARES))
    assert [a.id for a in answers] == [row.id for row in task[0]]
    assert all(a.answer.probabilities.safety == pytest.approx(0.7) for a in answers)


def test_concurrency_is_bounded(task):
    llm = ScriptedLLM(lambda _: SHARES, delay_s=0.005)
    go(task, llm, concurrency=3)
    assert llm.peak == 3


def test_failures_are_rows_and_are_asked_again_next_time(task, tmp_path):
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        answers = go(task, Cached(FaultyLLM(FailureKind.TIMEOUT), cache))
        assert all(a.answer.failure.kind == FailureKind.TIMEOUT for a in answers)
        healthy = ScriptedLLM(lambda _: SHARES)
        assert all(a.answer.probabilities for a in go(task, Cached(healthy, cache)))
        assert healthy.calls == 40


def test_nothing_is_asked_twice(task, tmp_path):
    llm = ScriptedLLM(lambda _: SHARES)
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        first = go(task, Cached(llm, cache))
        again = go(task, Cached(llm, cache))
    assert llm.calls == 40
    assert first == again


def test_what_the_model_would_say_again_is_kept(tmp_path, task):
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        refusing = FaultyLLM(FailureKind.REFUSED)
        go(task, Cached(refusing, cache))
        go(task, Cached(refusing, cache))
    assert refusing.calls == 40


def test_a_cached_reply_is_the_reply(tmp_path):
    reply = Reply(text="{}", tokens=())
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        cache.put("k", reply)
        cache.put("k", Reply(text="other"))
        assert cache.get("k") == reply
        assert cache.get("l") is None


def test_a_sample_is_spread_over_splits_and_labels(rows):
    evaluated = [row for row in rows if row.split in EVALUATED]
    chosen = sample(evaluated, 60, seed=1)
    assert 45 <= len(chosen) <= 75
    assert {row.split for row in chosen} == set(EVALUATED)
    assert chosen == sample(evaluated, 60, seed=1)
    kept = {row.id for row in chosen}
    assert {row.base_id for row in chosen} <= kept, "a variant came without the row it varies"


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_where_it_was(workspace, knowing, stop):
    asked = []

    def slowly(turns):
        asked.append(turns[-1]["content"])
        time.sleep(0.03)
        return knowing(turns)

    with scripted_server(slowly) as url:
        # A shell's background jobs start deaf to Ctrl-C, and so would what the tests start in one.
        hearing = (
            "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_module('evals', run_name='__main__')"
        )
        command = [sys.executable, "-c", hearing, "--root", str(workspace.root), "run", "classify-001", "smollm2-135m"]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"LLM_BASE_URL": url}, stderr=subprocess.PIPE, text=True)
        while len(asked) < 60:
            time.sleep(0.01)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (-9 if stop == signal.SIGKILL else 130)
        if stop == signal.SIGINT:
            assert "run the same command to go on" in errors
        assert not workspace.report("classify-001_smollm2-135m", "answers.jsonl").exists()
        before = len(asked)
        subprocess.run(command, cwd=ROOT, env=os.environ | {"LLM_BASE_URL": url}, check=True, capture_output=True)
    expected = [row.id for row in evaluated_rows(workspace)]
    lines = workspace.report("classify-001_smollm2-135m", "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == expected
    in_flight = workspace.params().concurrency
    assert len(asked) - len(set(asked)) <= in_flight  # only what was under way when it stopped is asked again
    assert before >= 60
