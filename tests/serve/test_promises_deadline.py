"""Deadline: whatever the LLM's server does, every message is answered in time, as well as can be, and recorded. One service for all."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from service_process import HARM, HELLO, Service, service_process

from orchestrator.testing import Toxic, Upstream, misbehaving_upstream

DEADLINE_S = 1.5
SLACK_S = 5.0  # two loaded cores; what is never answered is found all the same. The figure: `python -m benchmarks.http.deadline`
ATTEMPTS = 2
FATE = {  # which failure a message meets, and how many requests are made for it at most
    Toxic.OK: (None, 1), Toxic.SLICER: (None, 1),
    Toxic.HANG: ("timeout", 1), Toxic.DRIP: ("timeout", 1), Toxic.SLOW_CLOSE: ("timeout", 1),
    Toxic.RESET: ("connection", ATTEMPTS), Toxic.HALF_BODY: ("connection", ATTEMPTS),
    Toxic.SERVER_ERROR: ("server", ATTEMPTS), Toxic.WRONG_BODY: ("server", ATTEMPTS), Toxic.GARBAGE: ("server", ATTEMPTS),
    Toxic.RATE_LIMITED: ("rate_limited", 1),  # it asks for more time than there is
    Toxic.QUOTA: ("quota", 1), Toxic.UNAUTHORISED: ("rejected", 1),
    Toxic.REFUSAL: ("refused", 1), Toxic.TRUNCATION: ("truncated", 1),
    Toxic.WRONG_SCHEMA: ("unparsable", 1), Toxic.IGNORES_SCHEMA: ("unparsable", 1), Toxic.NO_LOGPROBS: ("unparsable", 1),
}  # fmt: skip
SETTINGS = {
    "REQUEST_TIMEOUT_SECONDS": str(DEADLINE_S),
    "LLM_ATTEMPTS": str(ATTEMPTS),
    "LLM_RETRY_SHARE": "1",
    "BREAKER_MIN_CALLS": "1000000",  # it has tests of its own
}


@pytest.fixture(scope="module")
def upstream():
    with misbehaving_upstream(retry_after_s=30) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream):
    with service_process(tmp_path_factory.mktemp("promises"), upstream.base_url, **SETTINGS) as service:
        yield service


def timed(service: Service, message: str, **headers: str) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    return service.ask(message, **headers), time.monotonic() - began


def ask_both(service: Service, **headers: str) -> list[tuple[httpx2.Response, float]]:
    """Ask an ordinary question and report harm, at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda message: timed(service, message, **headers), (HELLO, HARM)))


def check(answers: list[tuple[httpx2.Response, float]], service: Service, *, degraded: bool, within_s: float) -> None:
    assert [answer.status_code for answer, _ in answers] == [200, 200]
    assert [answer.json()["degraded"] for answer, _ in answers] == [degraded, degraded]
    assert answers[1][0].json()["category"] == "safety_compliance"
    assert max(took_s for _, took_s in answers) <= within_s + SLACK_S
    assert {answer.json()["request_id"] for answer, _ in answers} <= service.recorded()


@pytest.mark.parametrize("toxic", sorted(Toxic))
def test_whatever_the_llms_server_does_messages_are_answered_in_time_and_recorded(toxic, service, upstream):
    failure, most_calls = FATE[toxic]
    metric = f'llm_errors_total{{kind="{failure}"}}'
    upstream.toxic, calls, errors, all_errors = toxic, upstream.calls, service.metric(metric), service.metric("llm_errors_total")
    answers = ask_both(service)
    check(answers, service, degraded=failure is not None, within_s=DEADLINE_S)
    assert 2 <= upstream.calls - calls <= 2 * most_calls
    assert service.metric(metric) - errors == (2 if failure else 0)
    assert service.metric("llm_errors_total") - all_errors == (2 if failure else 0)  # and of no other kind


def test_a_slow_llm_that_ends_in_time_is_waited_for(service, upstream):
    upstream.toxic, upstream.latency_s = Toxic.OK, 0.3
    try:
        check(ask_both(service), service, degraded=False, within_s=DEADLINE_S)
    finally:
        upstream.latency_s = 0.0


def test_a_client_in_a_hurry_is_answered_by_its_own_deadline(service, upstream):
    upstream.toxic, errors = Toxic.HANG, service.metric('llm_errors_total{kind="deadline"}')
    check(ask_both(service, x_request_deadline="0.4"), service, degraded=True, within_s=0.4)
    assert service.metric('llm_errors_total{kind="deadline"}') - errors == 2


def test_no_reply_of_all_these_was_a_5xx(service):
    """It comes last: what the tests above made the service say to anybody."""
    with service.client() as client:
        text = client.get("/metrics").text
    assert 'classification_requests_total{status="200"}' in text
    assert 'classification_requests_total{status="5' not in text


def test_a_server_that_has_no_address_is_no_reason_to_wait(tmp_path):
    with service_process(tmp_path, "http://no-such-host.invalid/v1", **SETTINGS) as service:  # RFC 6761: it never resolves
        check(ask_both(service), service, degraded=True, within_s=DEADLINE_S)
        known = ('llm_errors_total{kind="connection"}', 'llm_errors_total{kind="timeout"}')  # a name server may be slow to say no
        assert sum(map(service.metric, known)) == service.metric("llm_errors_total") == 2
