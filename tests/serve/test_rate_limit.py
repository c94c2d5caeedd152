import asyncio
import math

import httpx2
import pytest
from asgi_calls import call, echo, served

from serve.client import ANYBODY, Client, Scope
from serve.limits.bucket import Buckets
from serve.limits.rate_limit import RateLimit

PATHS = ("/api/v1/classify", "/api/v1/jobs")


def client(name, **more):
    return Client(id=name, scopes=frozenset({Scope.CLASSIFY}), **more)


class Clock:
    now_us = 0

    def __call__(self):
        return self.now_us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limited(clock):
    def limited(**options):
        return RateLimit(echo, buckets=Buckets(clock), paths=PATHS, **{"per_minute": 60, "burst": 2} | options)

    return limited


def statuses(app, *calls):
    async def main():
        return [(await call(app, **one)).status for one in calls]

    return asyncio.run(main())


def test_a_client_that_asks_too_often_is_told_when_to_come_again(limited, clock):
    told = []
    app = limited(per_minute=40, on_limited=lambda: told.append(1))
    assert statuses(app, *[{"client": client("desk")}] * 2) == [200, 200]
    refused = asyncio.run(call(app, client=client("desk"), request_id="r1"))
    assert (refused.status, refused.headers["retry-after"]) == (429, "2")  # a token takes 1.5 s
    assert refused.problem["detail"] == "40 requests a minute are allowed, 2 at once; ask again in 2 s"
    assert (refused.problem["title"], refused.problem["request_id"], told) == ("Too Many Requests", "r1", [1])
    clock.now_us += 2_000_000
    assert statuses(app, {"client": client("desk")}) == [200]


def test_every_answer_says_what_is_left(limited):
    app = limited()
    answers = [asyncio.run(call(app, client=client("desk"))) for _ in range(3)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=2;w=2'}
    assert [answer.headers["ratelimit"] for answer in answers] == ['"requests";r=1;t=1', '"requests";r=0;t=1', '"requests";r=0;t=1']


def test_each_client_has_a_bucket_of_its_own(limited):
    assert statuses(limited(burst=1), *[{"client": client(name)} for name in "abab"]) == [200, 200, 429, 429]


def test_a_clients_own_rate_replaces_the_general_one(limited):
    app = limited(burst=None)
    assert statuses(app, *[{"client": client("slow", requests_per_minute=1)}] * 2) == [200, 429]
    assert statuses(app, *[{"client": client("free", requests_per_minute=0)}] * 70) == [200] * 70
    assert statuses(app, *[{"client": client("other")}] * 61) == [200] * 60 + [429]


def test_zero_is_no_limit_unless_for_a_client_that_has_one(limited):
    app = limited(per_minute=0)
    assert statuses(app, *[{"client": client("a")}] * 5) == [200] * 5
    assert statuses(app, *[{"client": client("b", requests_per_minute=1)}] * 3) == [200, 200, 429]


def test_where_keys_are_off_the_peer_is_the_client(limited):
    app = limited(burst=1)
    peers = [("10.0.0.1", 1), ("10.0.0.2", 1), ("10.0.0.1", 2), None, None]
    assert statuses(app, *[{"client": ANYBODY, "peer": peer} for peer in peers]) == [200, 200, 429, 200, 429]
    assert statuses(app, {"client": client("10.0.0.1")}) == [200], "a client's name is no peer's address"


def test_only_what_classifies_is_counted(limited):
    app = limited(burst=1)
    others = [{"method": "GET"}, {"path": "/api/v1/escalations"}, {"path": "/health", "method": "GET"}]
    assert statuses(app, *[one | {"client": client("a")} for one in others * 2]) == [200] * 6
    assert statuses(app, *[{"path": path, "client": client("a")} for path in ("/api/v1/classify", "/api/v1/jobs/x")]) == [200, 429]


def test_no_header_makes_another_client_on_a_real_socket():
    app = RateLimit(echo, buckets=Buckets(), paths=PATHS, per_minute=1, burst=3)
    with served(app, proxy_headers=False) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as http:
        names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-ID")
        got = [http.post(PATHS[0], headers=dict.fromkeys(names, f"for=10.0.0.{n}") | {names[0]: f"10.0.0.{n}"}) for n in range(5)]
    assert [answer.status_code for answer in got] == [200, 200, 200, 429, 429]
    assert math.isclose(int(got[-1].headers["retry-after"]), 60, abs_tol=30)


def test_a_thousand_clients_get_exactly_what_is_theirs(limited):
    async def main():
        app = limited(burst=3)
        clients = [client(f"client {number}") for number in range(1000)]
        return [(await call(app, client=one)).status for _ in range(4) for one in clients]

    got = asyncio.run(main())
    assert got == [200] * 3000 + [429] * 1000
