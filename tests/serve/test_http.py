import json
import os
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
from asgi_calls import served

from orchestrator.connect import open_classifier
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.release import load_release
from orchestrator.schema import FailureKind
from orchestrator.store.ledger import Ledger
from orchestrator.testing import FaultyLLM, ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders
from serve.app import create_app
from serve.settings import Settings

RELEASE = load_release()
CODES = list(RELEASE.prompt.codes.values())
URL = "/api/v1/classify"


@contextmanager
def serving(llm, database, *, kind=Ledger, **settings):
    """Serve on a real socket in a thread and yield a client."""

    @asynccontextmanager
    async def opening():
        ledger = kind.at(database, os.environ)
        yield Orchestrator(RELEASE.manifest.id, open_classifier(RELEASE, llm), standard_workflows(LocalOrders({})), ledger)
        ledger.close()

    with (
        served(create_app(opening, Settings(**settings)), lifespan="on") as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield client


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture
def client(database):
    llm = ScriptedLLM(lambda _: dict(zip(CODES, (0.9, 0.08, 0.02), strict=True)))
    with serving(llm, database, max_chars_chat=200, max_body_bytes=2000) as client:
        yield client


def test_the_answer_has_the_fields_of_the_contract(client):
    response = client.post(URL, json={"message": "What is your refund policy?"})
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {
        "request_id", "category", "confidence", "decision_path", "next_step", "processing_time_ms", "probabilities", "band",
        "review_required", "calibrated", "degraded", "release", "workflow",
    }  # fmt: skip
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["release"] == RELEASE.manifest.id
    assert sum(body["probabilities"].values()) == pytest.approx(1.0)
    assert body["processing_time_ms"] > 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "message: Field required"),
        ({"message": ""}, "message"),
        ({"message": " \n\t"}, "the message is empty"),
        ({"message": 7}, "valid string"),
        ({"message": None}, "valid string"),
        ({"message": ["a"]}, "valid string"),
        ({"message": "x" * 201}, "201 characters; at most 200"),
        ({"message": "x", "channel": "fax"}, "channel"),
        ({"message": "x", "colour": "red"}, "(unknown field): Extra inputs are not permitted"),
        ({"message": "x", "metadata": []}, "metadata"),
    ],
)
def test_bad_input_is_a_422_problem_with_the_reason(client, body, words):
    response = client.post(URL, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert words in response.json()["detail"]
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 1500, b"null", b'"text"'])
def test_what_is_no_json_object_is_refused(client, raw):
    response = client.post(URL, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == (400 if raw.startswith(b"[[") else 422)  # nesting beyond what a parser takes is no JSON at all
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_message_that_no_store_can_hold_is_answered_and_stored_with_replacement_characters(store, request, tmp_path):
    url = request.getfixturevalue("postgres_url") if store == "postgres" else f"sqlite:///{tmp_path}/serve.db"
    raw = rb'{"message": "refund\u0000 for \ud800 4432", "metadata": {"customer_id": "C\u0000\udfff", "\ud800": ["\u0000"]}}'
    llm = ScriptedLLM(lambda _: dict(zip(CODES, (0.02, 0.9, 0.08), strict=True)))
    with serving(llm, url) as client:
        response = client.post(URL, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    ledger = Ledger.at(url, os.environ)
    try:
        assert ledger.read_message(response.json()["request_id"], "Ann", "to look") == "refund\ufffd for \ufffd 4432"
        assert ledger.erase("C\ufffd\ufffd", "desk") == 1
    finally:
        ledger.close()


def test_a_longer_message_is_fine_on_another_channel(client):
    assert client.post(URL, json={"message": "x " * 150, "channel": "mail"}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused(client, chunked):
    payload = json.dumps({"message": "x" * 5000}).encode()
    response = client.post(URL, content=iter([payload]) if chunked else payload, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert "at most 2000 bytes" in response.json()["detail"]


def test_an_error_never_repeats_the_message(client):
    response = client.post(URL, json={"message": "my secret rash " + "x" * 300})
    assert "secret" not in response.text


def test_unknown_paths_and_methods_are_problems(client):
    for response in (client.get("/nowhere"), client.get(URL)):
        assert response.status_code in {404, 405}
        assert response.headers["content-type"] == "application/problem+json"


def test_health_readiness_metrics_and_docs(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "champion": RELEASE.manifest.id, "store": "up", "draining": False, "llm": {}}
    client.post(URL, json={"message": "What is your refund policy?"})
    text = client.get("/metrics").text
    for name in (
        'classification_requests_total{status="200"} 1.0', "classification_latency_seconds_count 1.0",
        "classification_confidence_count 1.0",
        "classification_category_total{category=", "llm_errors_total",
    ):  # fmt: skip
        assert name in text
    assert client.get("/openapi.json").json()["paths"][URL]["post"]["summary"]


def test_with_the_llm_down_everybody_is_answered(database):
    with serving(FaultyLLM(FailureKind.TIMEOUT), database) as client:
        answers = [client.post(URL, json={"message": text}) for text in ("hello", "my throat is closing up since the new tablets")]
        assert [a.status_code for a in answers] == [200, 200]
        assert all(a.json()["degraded"] for a in answers)
        assert answers[1].json()["category"] == "safety_compliance"
        assert 'llm_errors_total{kind="timeout"} 2.0' in client.get("/metrics").text


def test_what_was_answered_is_recorded(client, database):
    request_id = client.post(URL, json={"message": "cancel order 5530 please"}).json()["request_id"]
    ledger = Ledger.at(database, os.environ)
    try:
        with ledger.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT request_id FROM interactions").all()
        assert ledger.verify() == []
    finally:
        ledger.close()
    assert rows == [(request_id,)]


class DeadLedger(Ledger):
    def ping(self) -> None:
        raise ConnectionError("the database is gone")


def test_it_is_not_ready_when_the_store_is_down_but_alive(database):
    llm = ScriptedLLM(lambda _: dict(zip(CODES, (0.9, 0.08, 0.02), strict=True)))
    with serving(llm, database, kind=DeadLedger) as client:
        response = client.get("/ready")
        assert response.status_code == 503
        assert response.json()["store"] == "down (ConnectionError)"
        assert client.get("/health").status_code == 200
