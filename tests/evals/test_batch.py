import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, evals, shrink

from evals.batch import BatchReport, cancel_batches, run_batch
from evals.batch_plan import Plan, chunked, state_file
from evals.cache import Cached, ReplyCache
from evals.data import load_examples
from evals.errors import EvalError
from evals.run import AnswerRow, run
from orchestrator.batch_api import decode, encode
from orchestrator.catalogue import find_model
from orchestrator.connect import open_batch_api, open_llm
from orchestrator.errors import CatalogueError
from orchestrator.llm import Reply, Request, Turn
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import Failure, FailureKind, Usage
from orchestrator.testing import FaultyLLM, scripted_completion
from orchestrator.testing_batch import BatchServer

MODEL = find_model("gpt-4o-mini")
POLL_S = 0.005


def shares(turns):
    return {"A": 0.7, "B": 0.2, "C": 0.1} if "3" in turns[-1]["content"] else {"A": 0.1, "B": 0.1, "C": 0.8}


def numbered(count):
    return [
        Request(
            model="m",
            model_digest="d",
            turns=(Turn(role="user", content=f"row {n}\u2028{{{{ x }}}}"),),
            answer_schema={},
            max_tokens=9,
            top_logprobs=5,
        )
        for n in range(count)
    ]


class Client:
    """A user of the batch API with a cache and a state folder of its own."""

    def __init__(self, folder):
        self.folder, self.state = folder, folder / "batches"
        self.said = []

    def cache(self):
        return ReplyCache(self.folder / "replies.sqlite")

    def run(self, server, requests, **options) -> BatchReport:
        return self.go(server, lambda api, cache: run_batch(requests, cache, api, self.state, poll_s=POLL_S, say=self.say, **options))

    def cancel(self, server, requests):
        return self.go(server, lambda api, _: cancel_batches(requests, api, self.state, say=self.say))

    def go(self, server, act):
        async def opened():
            with self.cache() as cache:
                async with open_batch_api(MODEL, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.url}) as api:
                    return await act(api, cache)

        return asyncio.run(opened())

    def say(self, text):
        self.said.append(text)

    def told(self):
        return "\n".join(self.said)

    def replies(self, requests):
        with self.cache() as cache:
            return [cache.get(request.key()) for request in requests]

    def stored(self, requests):
        return sum(isinstance(reply, Reply) for reply in self.replies(requests))

    def notes(self):
        return [Plan.model_validate_json(path.read_bytes()) for path in self.state.glob("*.json")]


@pytest.fixture
def client(tmp_path):
    return Client(tmp_path)


def submitted(server):
    """The custom ids of every batch, in the order they were started."""
    return [
        [json.loads(line)["custom_id"] for line in server.files[batch["input_file_id"]].splitlines()] for batch in server.batches.values()
    ]


def test_a_batch_gives_the_answers_of_a_live_run_at_half_the_price(client, rows, knowing):
    prompt = load_prompt(ROOT / "prompts" / "classify-005.yaml")
    render = Renderer(prompt, MODEL, load_examples(ROOT / "datasets"))
    rows = rows[:500]
    requests = [render(row.as_message()) for row in rows]

    async def ask_all(llm):
        return await run(rows, prompt, render, llm, concurrency=8, title="test")

    async def live(url):
        async with open_llm(MODEL, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url}) as llm:
            return await ask_all(llm)

    with BatchServer(knowing, polls=2) as server:
        expected = asyncio.run(live(server.url))
        report = client.run(server, requests)
    assert report.stored == report.wanted == len({request.key() for request in requests})
    assert (report.cached, report.left, report.failures, len(server.batches)) == (0, 0, {}, 1)
    with client.cache() as cache:
        found = asyncio.run(ask_all(Cached(FaultyLLM(FailureKind.SERVER), cache)))
    assert all(row.answer.probabilities for row in found)
    for ours, theirs in zip(found, expected, strict=True):
        same = ours.answer.usage.model_copy(update={"latency_s": theirs.answer.usage.latency_s, "price_factor": 1.0})
        assert ours.answer.model_copy(update={"usage": same}) == theirs.answer
    price, full = (sum(MODEL.cost_usd(row.answer.usage) for row in answers) for answers in (found, expected))
    assert price == pytest.approx(full / 2)
    assert full > 0
    assert not client.notes()


def test_the_body_is_what_is_sent_live_and_a_parsed_line_is_the_live_reply():
    (request,) = numbered(1)
    line = json.loads(encode(request))
    assert line["custom_id"] == request.key()
    assert line["body"]["messages"] == [{"role": "user", "content": "row 0\u2028{{ x }}"}]
    assert line["body"]["top_logprobs"] == 5
    body = scripted_completion({"A": 0.9, "B": 0.1})
    done = {"id": "x", "custom_id": "k", "response": {"status_code": 200, "body": body}, "error": None}
    reply = decode(json.dumps(done).encode(), price_factor=0.5).answer
    assert reply.usage == Usage(input_tokens=100, output_tokens=5, price_factor=0.5)
    assert [text for text, _ in reply.tokens[1].alternatives] == ["A", "B"]


@pytest.mark.parametrize(
    ("response", "error", "kind"),
    [
        ({"status_code": 429, "body": {"error": {"message": "slow", "code": "rate_limit_exceeded"}}}, None, FailureKind.RATE_LIMITED),
        ({"status_code": 500, "body": {}}, None, FailureKind.SERVER),
        ({"status_code": 400, "body": {"error": {"message": "bad"}}}, None, FailureKind.REJECTED),
        ({"status_code": 200, "body": {"choices": []}}, None, FailureKind.SERVER),
        (None, {"code": "request_timeout", "message": "slow"}, FailureKind.TIMEOUT),
        (None, {"code": "batch_expired", "message": "late"}, None),
        (None, {"code": "batch_cancelled", "message": "stopped"}, None),
    ],
)
def test_every_line_that_holds_no_reply_says_why(response, error, kind):
    line = decode(json.dumps({"custom_id": "k", "response": response, "error": error}).encode(), price_factor=0.5)
    assert line.custom_id == "k"
    assert (line.answer.kind if isinstance(line.answer, Failure) else line.answer) == kind


def test_requests_are_sent_once_and_not_those_already_answered(client):
    requests = numbered(6)
    with client.cache() as cache:
        cache.put(requests[0].key(), Reply(text="{}"))
    with BatchServer(shares) as server:
        report = client.run(server, [*requests, *requests])
        assert submitted(server) == [[request.key() for request in requests[1:]]]
        assert (report.wanted, report.cached, report.stored) == (6, 1, 5)
        client.run(server, requests)
    assert len(server.batches) == 1
    assert [batch["metadata"] for batch in server.batches.values()] == [{"run": state_file(client.state, {r.key() for r in requests}).stem}]


def test_more_requests_than_a_file_may_hold_are_several_batches(client):
    requests = numbered(25)
    with BatchServer(shares, max_requests=10) as server:
        report = client.run(server, requests, max_requests=10)
    assert [len(keys) for keys in submitted(server)] == [10, 10, 5]
    assert report.batches == ("batch_0", "batch_1", "batch_2")
    assert client.stored(requests) == 25


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9), st.integers(1, 120))
def test_chunks_keep_every_request_in_order_within_both_limits(sizes, max_requests, max_bytes):
    named = {str(n): size for n, size in enumerate(sizes)}
    chunks = list(chunked(named, max_requests, max_bytes))
    assert list(itertools.chain(*chunks)) == list(named)
    for chunk in chunks:
        assert 1 <= len(chunk) <= max_requests
        assert sum(named[key] for key in chunk) <= max_bytes or len(chunk) == 1


def test_an_expired_batch_keeps_what_it_has_and_the_rest_is_submitted_again(client):
    requests = numbered(10)
    with BatchServer(shares, ends=[("expired", 0.6)]) as server:
        report = client.run(server, requests)
    keys = [request.key() for request in requests]
    assert submitted(server) == [keys, keys[6:]]
    assert (report.stored, report.left) == (10, 0)
    assert "expired without 4 replies: submitted again" in client.told()


def test_what_expires_twice_is_left_to_ask_live(client):
    requests = numbered(10)
    with BatchServer(shares, ends=[("expired", 0.5), ("expired", 0.4)]) as server:
        report = client.run(server, requests)
    assert len(server.batches) == 2
    assert (report.stored, report.left) == (7, 3)
    assert client.stored(requests) == 7
    assert "left to ask live" in client.told()
    assert not client.notes()


def test_a_request_with_a_failure_of_its_own_is_left_to_ask_live(client):
    requests = numbered(10)
    with BatchServer(shares, line_status=lambda n: {1: 429, 2: 500, 3: 400}.get(n, 200)) as server:
        report = client.run(server, requests)
    assert (report.stored, report.left) == (7, 3)
    assert report.failures == {"rate_limited": 1, "server": 1, "rejected": 1}
    assert len(server.batches) == 1


def test_an_invalid_batch_ends_with_the_words_of_the_server_and_can_be_submitted_anew(client):
    requests = numbered(4)
    with BatchServer(shares, ends=[("failed", 0.0)]) as server:
        with pytest.raises(EvalError, match=r"batch_0 is not valid: line 1: scripted \(invalid_request\)"):
            client.run(server, requests)
        assert client.run(server, requests).stored == 4
    assert len(server.batches) == 2


def test_lines_may_come_in_any_order_and_odd_ones_are_ignored_with_a_warning(client):
    requests = numbered(6)
    stranger = json.dumps({"custom_id": "stranger", "response": None, "error": {"code": "batch_expired"}})

    def rewrite(lines):
        return [stranger, *lines[::-1][:5], lines[5], "{oops", "[]", '{"custom_id": 3}', '\ufeff"']

    with BatchServer(shares, rewrite=rewrite) as server:
        report = client.run(server, requests)
    assert (report.stored, report.left) == (5, 1)
    with client.cache() as cache:
        for number, request in enumerate(requests[1:], 1):
            assert cache.get(request.key()).text == ('{"category":"A"}' if "3" in str(number) else '{"category":"C"}')
    assert "lines ignored: 1 duplicate, 4 malformed, 1 unknown" in client.told()


def test_a_reply_with_a_line_separator_is_one_line(client):
    requests = numbered(2)
    with BatchServer(lambda _: {"A\u2028\u0085": 0.9, "B": 0.1}) as server:
        assert client.run(server, requests).stored == 2
    assert "\u2028".encode() in server.files["file-1"]
    assert "\u2028" in client.replies(requests)[0].tokens[1].text


def test_passing_trouble_of_the_provider_is_sat_out_and_starts_nothing_twice(client):
    requests = numbered(8)
    times = Counter()

    def fault(call):
        times[call] += 1
        return {1: 500, 2: 429, 5: 503}.get(times[call])

    with BatchServer(shares, polls=3, fault=fault) as server:
        assert client.run(server, requests).stored == 8
    assert len(server.batches) == 1


def test_a_create_whose_reply_is_lost_is_not_repeated(client):
    requests = numbered(3)
    lost = []

    def after(call):
        if call == "POST /v1/batches" and not lost:
            lost.append(call)
            raise ConnectionError

    with BatchServer(shares, after=after) as server:
        assert client.run(server, requests).stored == 3
    assert lost
    assert len(server.batches) == 1


def test_lasting_trouble_ends_with_what_to_do_and_the_same_command_goes_on(client):
    requests = numbered(3)
    down = threading.Event()
    with BatchServer(shares, fault=lambda call: 401 if down.is_set() and call.startswith("GET") else None) as server:
        down.set()
        with pytest.raises(EvalError, match=r"retrieve: HTTP 401.*same command picks it up; to forget it and start anew, delete .*\.json"):
            client.run(server, requests)
        down.clear()
        assert client.run(server, requests).stored == 3
    assert len(server.batches) == 1


def test_a_cancelled_batch_keeps_what_it_has_and_asks_what_to_do_with_the_rest(client):
    requests = numbered(10)
    with BatchServer(shares, ends=[("cancelled", 0.3)]) as server:
        with pytest.raises(EvalError, match=r"was cancelled: 3 .*7 .*as a new batch, or without --batch"):
            client.run(server, requests)
        assert client.stored(requests) == 3
        assert client.run(server, requests).stored == 7


def interrupted(client, server, requests):
    """Press Ctrl-C while the batch is under way."""

    def press(text):
        client.say(text)
        if "in_progress" in text:
            signal.raise_signal(signal.SIGINT)

    async def act(api, cache):
        return await run_batch(requests, cache, api, client.state, poll_s=POLL_S, say=press)

    with pytest.raises(KeyboardInterrupt):
        client.go(server, act)


def test_after_ctrl_c_the_batch_goes_on_and_the_same_command_picks_it_up(client):
    requests = numbered(5)
    with BatchServer(shares, polls=3) as server:
        interrupted(client, server, requests)
        assert "still under way: batch_0; the same command picks it up, with --cancel" in client.said[-1]
        (plan,) = client.notes()
        assert [(chunk.file_id, chunk.batch_id, chunk.status) for chunk in plan.chunks] == [("file-0", "batch_0", "in_progress")]
        assert client.run(server, requests).stored == 5
    assert len(server.batches) == 1


def test_a_batch_under_way_can_be_cancelled(client):
    requests = numbered(10)
    with BatchServer(shares, polls=99) as server:
        assert client.cancel(server, requests) == 0
        interrupted(client, server, requests)
        assert client.cancel(server, requests) == 1
        with pytest.raises(EvalError, match="was cancelled: 5 "):
            client.run(server, requests)
    assert client.stored(requests) == 5


@pytest.mark.parametrize("content", ["{", '{"chunks": [{}]}'])
def test_a_broken_state_file_is_named(client, content):
    requests = numbered(1)
    path = state_file(client.state, [requests[0].key()])
    path.parent.mkdir()
    path.write_text(content)
    with BatchServer(shares) as server, pytest.raises(EvalError, match=path.name):
        client.run(server, requests)


def test_only_a_model_with_a_batch_api_can_batch():
    async def go(model, environment):
        async with open_batch_api(model, environment):
            pass

    with pytest.raises(CatalogueError, match="without --batch"):
        asyncio.run(go(find_model("smollm2-135m"), {"LLM_BASE_URL": "http://127.0.0.1:9/v1"}))
    with pytest.raises(CatalogueError, match="OPENAI_API_KEY"):
        asyncio.run(go(MODEL, {}))


# A client as a process of its own, which kills itself when it has stored so many replies. It imports no more than it needs.
PROCESS = """
import asyncio, json, os, signal, sys
from pathlib import Path
from evals.batch import run_batch
from evals.cache import ReplyCache
from orchestrator.batch_api import BatchApi
from orchestrator.llm import Request, openai_client

url, folder, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
stored = []

class Mortal(ReplyCache):
    def put(self, key, reply):
        super().put(key, reply)
        stored.append(key)
        if len(stored) == most:
            os.kill(os.getpid(), signal.SIGKILL)

async def go():
    requests = [Request(**fields) for fields in json.load(sys.stdin)]
    api = BatchApi(openai_client(base_url=url, api_key="k"), price_factor=0.5)
    with Mortal(folder / "replies.sqlite") as cache:
        await run_batch(requests, cache, api, folder / "batches", poll_s=0.01, max_requests=10)

asyncio.run(go())
"""


def run_process(server, client, *, most=99, started=lambda _: None):
    command = [sys.executable, "-c", PROCESS, server.url, str(client.folder), str(most)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    started(process)
    _, errors = process.communicate(json.dumps([request.model_dump() for request in numbered(20)]), timeout=60)
    assert process.returncode == -signal.SIGKILL, errors


STEPS = {
    "upload": ("POST /v1/files", 1),
    "create": ("POST /v1/batches", 1),
    "create the second": ("POST /v1/batches", 2),
    "poll": ("GET /v1/batches/batch_0", 1),
    "download": ("GET /v1/files/file-2/content", 1),
    "download the second": ("GET /v1/files/file-3/content", 1),
}


@pytest.mark.parametrize("effective", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_pays_for_every_request_once(client, step, effective):
    """The step has had its effect at the provider, but the client never hears of it; or it has not even begun."""
    running, times = [], Counter()

    def kill(call):
        times[call] += 1
        if running and (call, times[call]) == STEPS[step]:
            os.kill(running.pop().pid, signal.SIGKILL)
            return 500
        return None

    with BatchServer(shares, **{"after" if effective else "fault": kill}) as server:
        run_process(server, client, started=running.append)
        report = client.run(server, numbered(20), max_requests=10)
    assert (report.wanted, report.left) == (20, 0)
    assert client.stored(numbered(20)) == 20
    assert submitted(server) == [[request.key() for request in numbered(20)][:10], [request.key() for request in numbered(20)][10:]]
    assert not client.notes()


@pytest.mark.parametrize("most", [10, 14, 20])  # a whole batch whose end is not written down yet; a part; all
def test_a_process_killed_while_it_stores_replies_pays_for_every_request_once(client, most):
    with BatchServer(shares) as server:
        run_process(server, client, most=most)
        assert client.stored(numbered(20)) == most
        assert client.run(server, numbered(20), max_requests=10).stored == 20 - most
    assert len(server.batches) == 2
    assert not list(client.state.iterdir())


def test_a_run_through_the_batch_api_pays_half_and_answers_as_a_live_one(workspace, monkeypatch, capsys):
    shrink(workspace)
    with BatchServer(shares) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.delenv("LLM_BASE_URL")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        command = ("run", "classify-001", "gpt-4o-mini")
        assert evals(workspace, *command, "--batch", "--max-usd", "0.0001") == 2
        assert "raise --max-usd" in capsys.readouterr().err
        assert not server.batches
        assert evals(workspace, *command, "--batch", "--repeats", "2") == 2
        assert "goes with neither --repeats nor --cache" in capsys.readouterr().err
        assert evals(workspace, *command, "--batch", "--max-usd", "5") == 0
        assert len(server.batches) == 1
        assert "POST /v1/chat/completions" not in server.calls
        batched = read_answers(workspace)
        assert evals(workspace, *command, "--cache", "refresh") == 0
        assert len(server.batches) == 1
        live = read_answers(workspace)
    assert [answer.probabilities for answer in batched] == [answer.probabilities for answer in live]
    assert MODEL.cost_usd(batched[0].usage) == MODEL.cost_usd(live[0].usage) / 2


def read_answers(workspace):
    lines = workspace.report("classify-001_gpt-4o-mini", "answers.jsonl").read_text().splitlines()
    return [AnswerRow.model_validate_json(line).answer for line in lines]
