import asyncio
import os
import re
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from asgi_calls import served
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.middleware.cors import CORSMiddleware

from serve.access import RULES, SECURITY_HEADERS, Access, ApiKeys, Need, Refusal, cors_arguments, describe_access, with_security_headers
from serve.access.changes import added, revoked
from serve.access.key import DIGITS, ID_CHARS, PATTERN, ApiKey
from serve.access.key_file import ApiKeysError, KeyFile, change
from serve.access.keys import CHECK_EVERY_S
from serve.client import ANYBODY, Client, Scope

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLASSIFY = frozenset({Scope.CLASSIFY})
KEY = ApiKey.new()


@settings(deadline=None)  # on a loaded machine any example may wait
@given(st.integers(0, 65), st.sampled_from(DIGITS + "_- é"))
def test_one_mistyped_sign_is_no_key(place, sign):
    text = KEY.text()
    assert ApiKey.parse(text) == KEY
    mistyped = text[:place] + sign + text[place + 1 :]
    assert (ApiKey.parse(mistyped) is None) == (mistyped != text)


@settings(deadline=None)
@given(st.integers(0, 64))
def test_two_signs_swapped_or_one_lost_is_no_key(place):
    text = KEY.text()
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert ApiKey.parse(swapped) is None or swapped == text
    assert ApiKey.parse(text[:place] + text[place + 1 :]) is None


LETTERS = st.text(DIGITS, min_size=ID_CHARS, max_size=ID_CHARS)


@settings(deadline=None)
@given(st.text() | st.builds("cco_{}_{}".format, LETTERS, st.text(DIGITS, min_size=49, max_size=49)))
def test_nothing_that_is_not_a_key_is_one_and_nothing_fails(text):
    key = ApiKey.parse(text)
    assert key is None or key.text() == text


def test_keys_are_random_and_shown_nowhere():
    made = [ApiKey.new() for _ in range(200)]
    assert len({key.id for key in made}) == len({key.secret for key in made}) == 200
    assert all(PATTERN.fullmatch(key.text()) and ApiKey.parse(key.text()) == key for key in made)
    assert KEY.secret not in repr(KEY)


class Time:
    """A clock that stands still until it is told."""

    def __init__(self):
        self.now = NOW
        self.s = 0.0

    def pass_(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.s += seconds


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "api-keys.json"


def give(path, client, *scopes, key=None, **more):
    key = key or ApiKey.new()
    change(path, lambda held: added(held, client, key, scopes=frozenset(scopes) or CLASSIFY, now=NOW, **more))
    return key


def opened(path, clock):
    return ApiKeys(path, now=lambda: clock.now, clock=lambda: clock.s)


def test_a_key_is_its_clients_until_it_ends_or_is_revoked(path, clock):
    lasting = give(path, "desk", requests_per_minute=7)
    ending = give(path, "desk", Scope.REVIEW, lifetime=timedelta(days=1))
    gone = give(path, "mail")
    change(path, lambda held: revoked(held, gone.id, now=NOW))
    keys = opened(path, clock)
    assert keys.find(lasting.text()) == Client(id="desk", scopes=CLASSIFY, requests_per_minute=7)
    assert keys.find(ending.text()) == Client(id="desk", scopes=frozenset({Scope.REVIEW}), requests_per_minute=7)
    assert keys.find(gone.text()) is Refusal.REVOKED
    clock.pass_(86_400)
    assert keys.find(ending.text()) is Refusal.EXPIRED
    assert keys.find(lasting.text()).id == "desk"


def test_a_wrong_secret_is_told_nothing_that_an_unknown_id_is_not(path, clock):
    right = give(path, "desk")
    ended = give(path, "mail")
    change(path, lambda held: revoked(held, ended.id, now=NOW))
    keys = opened(path, clock)
    for guess in (ApiKey(right.id, ApiKey.new().secret), ApiKey(ended.id, ApiKey.new().secret), ApiKey.new()):
        assert keys.find(guess.text()) is Refusal.UNKNOWN
    assert keys.find("let me in") is Refusal.MALFORMED


def test_an_unknown_id_takes_every_step_that_a_wrong_secret_takes(path, clock):
    right = give(path, "desk")
    keys = opened(path, clock)

    def steps(text):  # what is called is the same on every machine; what it takes is not
        called = []
        sys.setprofile(lambda frame, event, function: called.append(getattr(function, "__name__", frame.f_code.co_name)))
        try:
            keys.find(text)
        finally:
            sys.setprofile(None)
        return called

    wrong = steps(ApiKey(right.id, ApiKey.new().secret).text())
    assert steps(ApiKey.new().text()) == wrong
    assert {"openssl_sha256", "compare_digest"} <= set(wrong)


def test_a_changed_file_is_read_at_most_once_a_second(path, clock):
    first = give(path, "desk")
    keys = opened(path, clock)
    second = give(path, "desk")
    change(path, lambda held: revoked(held, first.id, now=NOW))
    asyncio.run(keys.refresh())
    assert keys.find(first.text()).id == "desk"
    clock.pass_(CHECK_EVERY_S)
    asyncio.run(keys.refresh())
    assert keys.find(first.text()) is Refusal.REVOKED
    assert keys.find(second.text()).id == "desk"


@pytest.mark.parametrize("broken", ["{", '{"clients": [{"id": "a b"}]}', '{"clients": [], "colour": 1}', "", None])
def test_a_broken_file_keeps_the_last_good_keys_and_is_reported(path, clock, broken):
    key = give(path, "desk")
    keys = opened(path, clock)
    good = path.read_text()
    path.unlink() if broken is None else path.write_text(broken)
    clock.pass_(CHECK_EVERY_S)
    asyncio.run(keys.refresh())
    assert keys.find(key.text()).id == "desk"
    assert "api-keys.json" in keys.problem
    assert keys.problem.endswith("the keys read before stay valid")
    with pytest.raises(ApiKeysError):
        ApiKeys(path)
    path.write_text(good)
    clock.pass_(CHECK_EVERY_S)
    asyncio.run(keys.refresh())
    assert keys.problem is None


def test_the_file_is_its_owners_alone_and_holds_no_secret(path):
    key = give(path, "desk")
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.secret not in path.read_text()
    assert key.id in path.read_text()


def test_changes_at_once_lose_nothing(path):
    made = [ApiKey.new() for _ in range(24)]
    threads = [threading.Thread(target=give, args=(path, f"client-{n % 3}"), kwargs={"key": key}) for n, key in enumerate(made)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = KeyFile.model_validate_json(path.read_bytes())
    assert {key.id for client in held.clients for key in client.keys} == {key.id for key in made}
    assert held.usable(NOW) == 24


@pytest.mark.parametrize(
    ("needed", "paths"),
    [
        (Need.NOTHING, ["/health", "/ready", "/metrics", "/docs", "/openapi.json"]),
        (Need.OWN_SESSION, ["/review", "/review/", "/review/escalations/7"]),
        (Scope.CLASSIFY, ["/api/v1/classify", "/api/v1/classify/batch", "/api/v1/classify-later", "/api/v1/jobs", "/api/v1/jobs/7"]),
        (Scope.REVIEW, ["/api/v1/escalations", "/api/v1/escalations/7/claim"]),
        (Scope.ADMIN, ["/api/v1/releases", "/api/v1/releases/7"]),
        (Need.ANY_KEY, ["/", "/api/v1/new", "/api", "/reviews", "/health/", "//health", "/docs/../api/v1/classify", "/HEALTH", ""]),
    ],
)  # fmt: skip
def test_what_nobody_opened_needs_a_key(needed, paths):
    assert {RULES.need(path) for path in paths} == {needed}


@contextmanager
def serving(app):
    """Serve an ASGI app on a real socket in a thread and yield a client."""
    with served(app) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client


def echo():
    """An app that says for every path who asks."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    def who(request: Request):
        client = getattr(request.state, "client", None)
        return {"client": client and client.id}

    return app


class Door:
    """The app behind its keys on a socket, and what was refused."""

    def __init__(self, path):
        self.path = path
        self.desk = give(path, "desk")
        self.nurse = give(path, "nurse", Scope.REVIEW)
        self.refused = []
        access = Access(echo(), ApiKeys(path), on_refused=self.refused.append)
        self.app = CORSMiddleware(access, **cors_arguments(["https://desk.example"]))


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    return Door(tmp_path_factory.mktemp("door") / "api-keys.json")


@pytest.fixture(scope="module")
def at_door(door):
    with serving(door.app) as client:
        yield client


@pytest.fixture
def refused(door):
    door.refused.clear()
    return door.refused


def bearer(key):
    return {"Authorization": f"Bearer {key.text()}"}


def test_a_key_opens_by_either_header(door, at_door):
    for headers in (bearer(door.desk), {"Authorization": f"bearer  {door.desk.text()}"}, {"X-API-Key": door.desk.text()}):
        assert at_door.post("/api/v1/classify", headers=headers).json() == {"client": "desk"}
    both = bearer(door.desk) | {"X-API-Key": door.desk.text()}
    assert at_door.post("/api/v1/classify", headers=both).json() == {"client": "desk"}


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ({}, "missing", "send `Authorization: Bearer KEY`"),
        ({"Authorization": "Basic ZGVzazpzZWNyZXQ="}, "missing", "send `Authorization: Bearer KEY`"),
        ({"Authorization": "Bearer"}, "malformed", "its own checksum"),
        ({"Authorization": "Bearer é\xff"}, "malformed", "its own checksum"),
        ({"X-API-Key": "x" * 20_000}, "malformed", "its own checksum"),
        ({"X-API-Key": ApiKey.new().text()}, "unknown", "not valid here"),
        ({"X-API-Key": KEY.text(), "Authorization": f"Bearer {ApiKey.new().text()}"}, "ambiguous", "send one"),
    ],
)
def test_without_a_valid_key_it_is_a_401_problem_that_repeats_no_key(at_door, refused, headers, reason, words):
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    response = at_door.post("/api/v1/classify", headers=sent, content=b"x" * 1_000_000)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert words in response.json()["detail"]
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="orchestrator"')
    assert ("error=" in challenge) == (reason != "missing")
    assert refused == [reason]
    assert "cco_" not in response.text + str(response.headers)


def test_a_key_in_the_address_opens_nothing(door, at_door):
    assert at_door.get("/api/v1/jobs", params={"api_key": door.desk.text(), "access_token": door.desk.text()}).status_code == 401


def test_a_key_without_the_scope_is_a_403_that_names_it(door, at_door, refused):
    response = at_door.get("/api/v1/escalations", headers=bearer(door.desk))
    assert response.status_code == 403
    assert response.json()["detail"] == "the API key may not do this: it needs the scope review"
    assert 'error="insufficient_scope", scope="review"' in response.headers["www-authenticate"]
    assert refused == [Refusal.SCOPE]
    assert at_door.get("/api/v1/escalations", headers=bearer(door.nurse)).json() == {"client": "nurse"}


def test_open_paths_ask_nobody_and_unknown_ones_any_key(door, at_door):
    assert at_door.get("/health").json() == at_door.get("/health", headers={"X-API-Key": "nonsense"}).json() == {"client": None}
    assert at_door.get("/api/v1/new").status_code == at_door.get("/").status_code == 401
    assert at_door.get("/api/v1/new", headers=bearer(door.nurse)).json() == {"client": "nurse"}


def test_the_review_pages_are_let_through_to_ask_themselves_unless_a_key_is_sent(door, at_door):
    assert at_door.get("/review/queue").json() == {"client": None}
    assert at_door.get("/review/queue", headers={"Authorization": "Basic eDp5"}).json() == {"client": None}
    assert at_door.get("/review/queue", headers=bearer(door.nurse)).json() == {"client": "nurse"}
    assert at_door.get("/review/queue", headers=bearer(door.desk)).status_code == 403
    assert at_door.get("/review/queue", headers=bearer(KEY)).status_code == 401


def test_a_revoked_key_is_refused_by_the_running_service_within_seconds(door, at_door):
    key = give(door.path, "short-lived")
    until = time.monotonic() + 20

    def comes_to(status):
        while at_door.get("/api/v1/jobs", headers=bearer(key)).status_code != status:
            assert time.monotonic() < until
            time.sleep(0.05)

    comes_to(200)
    change(door.path, lambda held: revoked(held, "short-lived", now=datetime.now(UTC)))
    comes_to(401)
    assert "revoked" in at_door.get("/api/v1/jobs", headers=bearer(key)).json()["detail"]


def test_without_keys_everybody_is_anybody():
    with serving(Access(echo(), None)) as client:
        assert client.post("/api/v1/releases", headers={"X-API-Key": "whatever"}).json() == {"client": ANYBODY.id}


def test_a_websocket_without_a_key_is_closed(path):
    give(path, "desk")
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/api/v1/stream", "headers": []}
    asyncio.run(Access(echo(), ApiKeys(path))(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_page_of_an_allowed_origin_may_call_and_read_why_it_was_refused(door, at_door):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type, idempotency-key"}
    preflight = at_door.options("/api/v1/classify", headers={"Origin": "https://desk.example", **asked})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://desk.example"
    assert "access-control-allow-credentials" not in preflight.headers
    refused = at_door.post("/api/v1/classify", headers={"Origin": "https://desk.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://desk.example"


def test_no_other_origin_may_call(at_door):
    for origin in ("https://desk.example.evil.example", "http://desk.example", "null", "https://DESK.example"):
        preflight = at_door.options("/api/v1/classify", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers


def test_security_headers_yield_to_what_an_answer_says_itself():
    own = (b"Content-Security-Policy", b"default-src 'self'")
    made = with_security_headers([own])
    assert made[0] == own
    assert sorted(name.lower() for name, _ in made) == sorted(name for name, _ in SECURITY_HEADERS)


def test_the_openapi_document_says_what_each_path_needs():
    paths = {path: {"post": {"responses": {"200": {}}}} for path in ("/api/v1/classify", "/health", "/api/v1/new")}
    document = describe_access({"paths": paths})
    assert paths["/api/v1/classify"]["post"]["security"] == [{"bearer": ["classify"]}, {"header": ["classify"]}]
    assert set(paths["/api/v1/classify"]["post"]["responses"]) == {"200", "401", "403"}
    assert set(paths["/api/v1/new"]["post"]["responses"]) == {"200", "401"}
    assert "security" not in paths["/health"]["post"]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_what_root_changes_stays_the_services(path):
    give(path, "desk")
    os.chown(path, 10_001, 10_001)
    give(path, "mail")
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (10_001, 0o600)
    assert path.with_name(f".{path.name}.lock").stat().st_uid == 10_001


def test_every_refusal_is_told_in_words():
    assert all(re.match(r"(an|the|more) ", refusal.detail) for refusal in Refusal)
