import os
import time
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
from asgi_calls import served
from rollout_parts import CHAMPION, SERVICE, Upstream, break_release, make_release, new_releases, orchestrator_of, saying

from orchestrator.store.ledger import Ledger
from serve.app import create_app
from serve.settings import Settings

OWN = CHAMPION.manifest.id
URL = "/api/v1/releases"


@contextmanager
def serving(database, data_dir, upstream):
    """Serve on a real socket in a thread and yield a client."""

    @asynccontextmanager
    async def opening():
        ledger = Ledger.at(database, os.environ)
        async with new_releases(ledger, upstream, data_dir, every_s=0.05) as releases:
            yield orchestrator_of(releases)
        ledger.close()

    with (
        served(create_app(opening, Settings()), lifespan="on") as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield client


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "installation"


@pytest.fixture
def other(data_dir):
    return make_release(data_dir / "releases" / "other")


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture
def client(database, data_dir, other):
    with serving(database, data_dir, Upstream(**{other: saying(SERVICE)})) as client:
        yield client


def answered_by(client):
    return client.post("/api/v1/classify", json={"message": "what are your opening hours?"}).json()["release"]


def wait_for(condition, within_s=20.0):
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_says_what_serves_and_which_releases_there_are(client, other):
    body = client.get(URL).json()
    assert {name: body[name] for name in ("active", "serving", "packaged", "previous", "challenger", "problem")} == {
        "active": OWN, "serving": OWN, "packaged": OWN, "previous": None, "challenger": None, "problem": None,
    }  # fmt: skip
    assert [known["id"] for known in body["known"]] == [OWN, other]


def test_a_switch_and_a_rollback_change_who_answers_and_say_who_did_it_in_the_audit_trail(client, database, other):
    switched = client.post(f"{URL}/active", json={"release": other}).json()
    assert (switched["active"], switched["serving"], switched["previous"]) == (other, other, OWN)
    assert answered_by(client) == other
    assert client.post(f"{URL}/rollback").json()["active"] == OWN
    assert answered_by(client) == OWN
    ledger = Ledger.at(database, os.environ)
    told = [(event["action"], event["by"]) for _, event in ledger.events() if event["kind"] == "release_switched"]
    assert told == [("switch", "anybody"), ("rollback", "anybody")]  # no key was asked for
    assert ledger.verify() == []
    ledger.close()


def test_another_process_on_the_same_database_follows(client, database, data_dir, other):
    with serving(database, data_dir, Upstream()) as second:
        client.post(f"{URL}/active", json={"release": other})
        wait_for(lambda: second.get(URL).json()["serving"] == other)
        assert answered_by(second) == other


def test_a_challenger_is_tried_its_agreement_is_shown_and_it_is_stopped(client, other):
    tried = client.put(f"{URL}/challenger", json={"release": other, "mode": "shadow", "share": 1.0}).json()["challenger"]
    assert (tried["release"], tried["mode"], tried["share"], tried["running"], tried["compared"]) == (other, "shadow", 1.0, True, 0)
    assert answered_by(client) == OWN
    wait_for(lambda: client.get(URL).json()["challenger"]["compared"] == 1)
    assert client.get(URL).json()["challenger"]["agreed"] == 0
    client.put(f"{URL}/challenger", json={"release": other, "mode": "canary", "share": 1.0})
    assert answered_by(client) == other
    assert client.delete(f"{URL}/challenger").json()["challenger"] is None
    assert answered_by(client) == OWN


def test_what_cannot_be_done_is_a_problem_that_says_why(client, data_dir, other):
    assert client.post(f"{URL}/rollback").status_code == 409
    assert client.delete(f"{URL}/challenger").status_code == 409
    assert client.post(f"{URL}/active", json={"release": OWN}).status_code == 409
    unknown = client.post(f"{URL}/active", json={"release": "ffffffffffff"})
    assert unknown.status_code == 404
    assert f"known: {OWN}, {other}" in unknown.json()["detail"]
    break_release(data_dir / "releases" / "other")
    refused = client.post(f"{URL}/active", json={"release": other})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert "the release is refused" in refused.json()["detail"]
    assert "SHA-256" in refused.json()["detail"]
    assert answered_by(client) == OWN


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("active", {"release": "../../etc/passwd"}),
        ("active", {"release": OWN, "force": True}),
        ("challenger", {"release": "0" * 12, "share": 1.5}),
        ("challenger", {"release": "0" * 12, "share": 0.5, "mode": "half"}),
    ],
)
def test_what_is_no_release_no_share_and_no_mode_is_refused(client, path, body):
    method = "POST" if path == "active" else "PUT"
    assert client.request(method, f"{URL}/{path}", json=body).status_code == 422
