import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT, evals, shrink

from evals.cache import Cached, ReplyCache, reply_key
from evals.data import load_examples
from evals.errors import EvalError
from evals.run import EVALUATED, evaluated_rows, run, sample
from orchestrator.catalogue import find_model
from orchestrator.llm import OpenAIChat, Reply, openai_client
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import Failure, FailureKind, Message
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


def test_equal_requests_under_way_share_one_call(task, tmp_path):
    rows, prompt, render = task
    llm = ScriptedLLM(lambda _: SHARES, delay_s=0.01)
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        answers = go((rows[:1] * 20, prompt, render), Cached(llm, cache), concurrency=20)
    assert llm.calls == 1
    assert len({answer.model_dump_json() for answer in answers}) == 1


def test_a_caller_that_gives_up_leaves_the_shared_call_to_the_others(task, tmp_path):
    rows, _, render = task

    async def race():
        llm = ScriptedLLM(lambda _: SHARES, delay_s=0.05)
        with ReplyCache(tmp_path / "replies.sqlite") as cache:
            cached = Cached(llm, cache)
            first, second = (asyncio.create_task(cached(render(rows[0].as_message()))) for _ in range(2))
            await asyncio.sleep(0.01)
            first.cancel()
            return await second, llm.calls

    reply, calls = asyncio.run(race())
    assert isinstance(reply, Reply)
    assert calls == 1


def test_each_repeat_has_replies_of_its_own_and_the_first_those_there_have_always_been(task, tmp_path):
    llm = ScriptedLLM(lambda _: SHARES)
    request = task[2](task[0][0].as_message())
    assert reply_key(request, 0) == request.key()
    assert len({reply_key(request, number) for number in range(5)}) == 5
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        cached = Cached(llm, cache)
        for number in (0, 1, 2, 1):
            go(task, cached.repeat(number))
    assert llm.calls == 3 * 40


def test_refresh_asks_anew_and_replaces_what_is_kept(task, tmp_path):
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        go(task, Cached(ScriptedLLM(lambda _: SHARES), cache))
        other = ScriptedLLM(lambda _: {"question": 0.8, "order": 0.1, "harm": 0.1})
        go(task, Cached(other, cache, refresh=True))
        assert other.calls == 40
        answers = go(task, Cached(FaultyLLM(FailureKind.SERVER), cache))
    assert all(a.answer.probabilities.informational == pytest.approx(0.8) for a in answers)


def test_an_exhausted_quota_ends_the_run_and_keeps_what_came(task, tmp_path):
    class Exhausted(ScriptedLLM):
        async def __call__(self, request, /):
            left = self.calls < 15
            reply = await super().__call__(request)
            return reply if left else Failure(kind=FailureKind.QUOTA, detail="nothing left")

    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        llm = Exhausted(lambda _: SHARES)
        with pytest.raises(EvalError, match=r"nothing left. 15 of 40 rows are done"):
            go(task, Cached(llm, cache))
        assert llm.calls <= 15 + 4
        healthy = ScriptedLLM(lambda _: SHARES)
        go(task, Cached(healthy, cache))
        assert healthy.calls == 25


def test_offline_a_run_writes_the_same_bytes_and_asks_nobody(workspace, capsys):
    shrink(workspace)
    answers = workspace.report("classify-001_smollm2-135m", "answers.jsonl")
    assert evals(workspace, "run", "classify-001", "smollm2-135m", "--cache", "only") == 2
    assert "rows have no reply in the cache" in capsys.readouterr().err
    assert not answers.exists()
    assert evals(workspace, "run", "classify-001", "smollm2-135m") == 0
    before = answers.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", "http://127.0.0.1:9/v1")  # nobody listens there
        assert evals(workspace, "run", "classify-001", "smollm2-135m", "--cache", "only") == 0
    assert answers.read_bytes() == before


def test_repeats_are_reported_and_the_first_is_the_candidates(workspace, capsys):
    shrink(workspace)
    assert evals(workspace, "run", "classify-001", "smollm2-135m", "--repeats", "2") == 0
    assert "asked 2 times" in capsys.readouterr().out
    report = json.loads(workspace.report("classify-001_smollm2-135m", "repeats.json").read_text())
    assert report["splits"]["all"]["flip_rate"]["value"] == 0.0
    assert len(workspace.report("classify-001_smollm2-135m", "answers.jsonl").read_text().splitlines()) == len(evaluated_rows(workspace))


def test_a_cap_in_usd_stops_the_run_with_what_was_spent_and_a_higher_one_goes_on(workspace, capsys, monkeypatch):
    shrink(workspace)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert evals(workspace, "run", "classify-001", "gpt-4o-mini", "--max-usd", "0.001") == 2
    errors = capsys.readouterr().err
    assert "of the cap of 0.001" in errors
    assert "the same command goes on from there" in errors
    assert not workspace.report("classify-001_gpt-4o-mini", "answers.jsonl").exists()
    assert evals(workspace, "run", "classify-001", "gpt-4o-mini", "--max-usd", "5") == 0


NASTY = st.one_of(
    st.text(min_size=1, max_size=200),
    st.sampled_from(["{{ 7 * 7 }}", "{% raw %}", "file://secret", "a\x00b", "{# no #}", "x" * 10_000, "\u2028\u2029\ufeff", "<|im_end|>"]),
)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "prompts").glob("classify-*.yaml")))
def test_any_text_reaches_the_model_as_it_is(name):
    seen = []

    def answer(turns):
        seen.append(turns[-1]["content"])
        return dict.fromkeys(prompt.codes.values(), 1 / 3)

    prompt = load_prompt(ROOT / "prompts" / f"{name}.yaml")
    render = Renderer(prompt, find_model("smollm2-135m"), load_examples(ROOT / "datasets"))
    marker = "\ue000"  # stands for the message in what the template makes of it
    before, after = render(Message(text=marker)).turns[-1].content.split(marker)

    with scripted_server(answer) as url:

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(NASTY)
        def reaches(text):
            async def send():
                chat = OpenAIChat(openai_client(base_url=url, api_key="k"))
                try:
                    return await chat(render(Message(text=text)))
                finally:
                    await chat.aclose()

            assert isinstance(asyncio.run(send()), Reply)
            assert seen[-1] == before + text + after

        reaches()


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
