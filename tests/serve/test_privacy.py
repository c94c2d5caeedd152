"""500 planted values go through every way a request can fail, with debug logging on; afterwards they are looked for everywhere.

A new way to fail is a line in ``WAYS_IN``, a new place to look one in ``planted``.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import httpx2
import pytest
from canaries import make_canaries
from quoting_llm import WAYS, collector, quoting_llm
from support import ROOT, free_port

from orchestrator.redact import redact
from orchestrator.release import load_release

CANARIES = make_canaries(500)
BATCHES = [CANARIES[start : start + 100] for start in range(0, 500, 100)]  # together they stay below the longest message
URL = "/api/v1/classify"
HEADERS = (
    "x-request-id",
    "x-api-key",
    "traceparent",
    "tracestate",
    "baggage",
    "user-agent",
    "cookie",
    "x-forwarded-for",
    "referer",
    "origin",
)


def said(batch):
    return " ".join(canary.said for canary in batch)


def marks(batch):
    return "-".join(canary.mark for canary in batch)


def post(client, body, headers=None, **more):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(URL, content=content, headers={"content-type": "application/json"} | (headers or {}), **more)


def raw(client, data, *, read=True):
    """Send bytes as they are, and leave."""
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=5) as connection:
        connection.sendall(data)
        return SimpleNamespace(status_code=400, text=connection.recv(65536).decode()) if read else None


def head(length):
    return f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def twice(client, batch):
    """The same key for two messages: the second is refused. The key is a client's own and is stored as it is."""
    for text in ("first", said(batch)):
        answer = post(client, {"message": text}, headers={"idempotency-key": f"key-{BATCHES.index(batch)}"})
    return answer


WAYS_IN = {
    "JSON that ends": lambda c, b: post(c, b'{"message": "' + said(b).encode()),
    "no UTF-8": lambda c, b: post(c, b'{"message": "\xff' + said(b).encode() + b'"}'),
    "no object": lambda c, b: post(c, [said(b)]),
    "a list for a text": lambda c, b: post(c, {"message": [said(b)]}),
    "too long": lambda c, b: post(c, {"message": said(b) + "x" * 4000}),
    "another channel": lambda c, b: post(c, {"message": said(b), "channel": marks(b)}),
    "unknown fields": lambda c, b: post(c, {"message": "x", **{canary.mark: canary.said for canary in b}, said(b): 1}),
    "metadata": lambda c, b: post(c, {"message": said(b), "metadata": said(b)}),
    "metadata that is taken": lambda c, b: post(c, {"message": said(b), "metadata": {"customer_id": marks(b), "note": {"x": "y"}}}),
    "another content type": lambda c, b: post(c, said(b).encode(), headers={"content-type": "text/plain"}),
    "a form": lambda c, b: c.post(URL, data={"message": said(b)}),
    "unknown path": lambda c, b: c.get("/" + quote(said(b))),
    "path below": lambda c, b: c.post(f"{URL}/{quote(said(b), safe='')}", json={"message": said(b)}),
    "trailing slash": lambda c, b: c.post(f"{URL}/?{quote(said(b))}", json={"message": said(b)}),
    "query": lambda c, b: c.get("/health", params={"q": said(b), marks(b): "1"}),
    "query of a post": lambda c, b: post(c, {}, params={"message": said(b)}),
    "another method": lambda c, b: c.request("DELETE", URL, params={"q": said(b)}),
    "headers": lambda c, b: post(c, {}, headers={name: marks(b) for name in HEADERS} | {"authorization": f"Bearer {marks(b)}"}),
    "a deadline that is none": lambda c, b: post(c, {}, headers={"x-request-deadline": marks(b)}),
    "a method nobody knows": lambda c, b: raw(c, f"{b[0].mark} /{marks(b)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    "no HTTP": lambda c, b: raw(c, f"{said(b)}\r\n\r\n".encode()),
    "a mode nobody knows": lambda c, b: post(c, {"message": said(b)}, params={"mode": marks(b)}),
    "an idempotency key that is too long": lambda c, b: post(c, {"message": said(b)}, headers={"idempotency-key": marks(b)}),
    "an idempotency key of another message": twice,
    "a callback to nobody's host": lambda c, b: post(
        c, {"message": said(b), "callback_url": f"https://{b[0].mark}.example/{marks(b)[:200]}"}, params={"mode": "async"}
    ),
    "queued": lambda c, b: post(c, {"message": said(b)}, params={"mode": "async"}),
    "a job nobody has": lambda c, b: c.get(f"/api/v1/jobs/{marks(b)}"),
    "an escalation nobody has": lambda c, b: c.post(f"/api/v1/escalations/{marks(b)}/resolve", json={"resolution": said(b)}),
    "a release nobody has": lambda c, b: c.post("/api/v1/releases/active", json={"release": marks(b)}),
    "a batch of wrong rows": lambda c, b: c.post(f"{URL}/batch", json={"messages": [{"message": "x", canary.mark: 1} for canary in b]}),
    "a batch that is none": lambda c, b: c.post(f"{URL}/batch", json={"messages": said(b), said(b): marks(b)}),
    "too large": lambda c, b: post(c, {"message": said(b) * 40}),
    "leaves in the midst of the body": lambda c, b: raw(c, head(9000) + said(b).encode(), read=False),
    "does not wait": lambda c, b: raw(c, head(len(whole := json.dumps({"message": said(b)}).encode())) + whole, read=False),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Everything the service wrote and said after all canaries went all ways: texts by place, and what was asked."""
    folder = tmp_path_factory.mktemp("planted")
    shares = dict(zip(load_release().prompt.codes.values(), (0.05, 0.9, 0.05), strict=True))
    answers, asked = [], {}
    with quoting_llm(shares) as llm, collector() as (traces_to, traces), Service(folder, llm.url, traces_to) as service:
        for name, send in WAYS_IN.items():
            asked[name] = {answer.status_code for batch in BATCHES if (answer := keep(answers, send(service.client, batch)))}
        for way in WAYS:
            llm.way = way
            batches = BATCHES[:1] if way == "hangs" else BATCHES  # each takes a second
            asked[f"LLM {way}"] = {keep(answers, post(service.client, {"message": said(batch)})).status_code for batch in batches}
        llm.way = "answers"
        with service.store_down():
            asked["store down"] = {keep(answers, post(service.client, {"message": said(BATCHES[0])})).status_code}
        metrics = "".join(
            service.client.get("/metrics", headers={"accept": accept}).text for accept in ("", "application/openmetrics-text")
        )
    told = {
        "logs": service.printed.read_text(),
        "metrics": metrics,
        "errors": "\n".join(answer.text for answer in answers if answer.status_code >= 400),
        "traces": "\n".join(body.decode("latin-1") for _, body in traces),
    }
    stored = "\n".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*.db*"))
    return SimpleNamespace(told=told, stored=stored, asked=asked, paths={path for path, _ in traces})


def keep(answers, answer):
    if answer is not None:
        answers.append(answer)
    return answer


class Service:
    """``python -m serve`` as anybody runs it, with debug logging."""

    def __init__(self, folder, llm_url, traces_to):
        self.printed, self.database, port = folder / "printed.txt", folder / "ledger.db", free_port()
        environment = {
            "LLM_BASE_URL": llm_url, "LLM_TIMEOUT_SECONDS": "1", "LLM_API_KEY": "sk-planted-0123456789", "LOG_LEVEL": "DEBUG",
            "OPENAI_LOG": "debug", "PYTHONASYNCIODEBUG": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": traces_to, "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{self.database}?timeout=0.5", "DATA_DIR": str(folder), "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
        }  # fmt: skip
        with self.printed.open("wb") as out:
            command = [sys.executable, "-m", "serve"]
            left = {name: value for name, value in os.environ.items() if name != "KEY_FILE"}
            self.process = subprocess.Popen(command, cwd=ROOT, env=left | environment, stdout=out, stderr=out)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def __enter__(self):
        until = time.monotonic() + 60
        while not self._is_ready():
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < until, self.printed.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def store_down(self):
        """Hold the database's write lock for the length of a block: nobody else can write."""
        return _Held(self.database)

    def _is_ready(self):
        try:
            return self.client.get("/ready").is_success
        except httpx2.HTTPError:
            return False


class _Held:
    def __init__(self, database: Path):
        self.connection = sqlite3.connect(database, isolation_level=None)

    def __enter__(self):
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_):
        self.connection.execute("ROLLBACK")
        self.connection.close()


def test_the_requests_failed_as_they_were_meant_to(planted):
    assert planted.asked["store down"] == {503}
    assert {way: planted.asked[f"LLM {way}"] for way in WAYS} == {way: {200} for way in WAYS}
    fine = {"query", "metadata that is taken", "queued", "a batch of wrong rows"}
    left = {"leaves in the midst of the body", "does not wait"}
    for name, statuses in planted.asked.items():
        if not name.startswith("LLM") and name not in fine | left:
            assert statuses, name
            assert all(300 <= status < 500 or name == "store down" for status in statuses), (name, statuses)


@pytest.mark.parametrize("place", ["logs", "metrics", "errors", "traces"])
def test_no_canary_is_found_in(planted, place):
    text = planted.told[place].lower()
    assert len(text) > 1000, "there was something to look through"
    found = [canary for canary in CANARIES if canary.mark.lower() in text]
    assert found == []


def test_the_api_key_of_the_llm_is_not_logged(planted):
    assert "sk-planted" not in planted.told["logs"]


def test_the_store_holds_personal_data_sealed_alone(planted):
    personal = [canary for canary in CANARIES if canary.personal]
    assert [canary for canary in personal if canary.mark in redact(said([canary]))] == []
    assert len(planted.stored) > 100_000
    assert [canary for canary in personal if canary.mark in planted.stored] == []


def test_every_line_of_the_log_is_json_with_what_a_line_must_tell(planted):
    lines = [json.loads(line) for line in planted.told["logs"].splitlines() if not line.startswith("release ")]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) > 150
    assert all({"timestamp", "level", "event", "release", "logger"} <= set(line) for line in lines)
    assert all({"request_id", "method", "route", "status", "duration_ms"} <= set(line) for line in requests)
    below = {f"{URL}/batch", "/api/v1/jobs/{job_id}", "/api/v1/escalations/{request_id}/resolve", "/api/v1/releases/active"}
    assert {line["route"] for line in requests} <= {"/health", "/ready", "/metrics", URL, "unknown"} | below


def test_the_traces_came_where_they_should(planted):
    assert planted.paths == {"/v1/traces"}
