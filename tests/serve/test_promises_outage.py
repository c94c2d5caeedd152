"""Never unanswered, and the breaker: one service whose LLM goes away and comes back."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_process import HARM, HELLO, URL, Service, service_process

from orchestrator.testing import Toxic, Upstream, misbehaving_upstream

AT_ONCE = 32
MIN_CALLS = 10
OPEN_S = 2.0


@pytest.fixture(scope="module")
def upstream():
    with misbehaving_upstream(retry_after_s=60) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream):
    settings = {
        "BREAKER_MIN_CALLS": str(MIN_CALLS),
        "BREAKER_OPEN_SECONDS": str(OPEN_S),
        "BREAKER_WINDOW_SECONDS": "600",  # on a slow machine, too, all that a test does counts
        "LLM_RETRY_SHARE": "0",
    }
    with service_process(tmp_path_factory.mktemp("outage"), upstream.base_url, **settings) as service:
        yield service


@pytest.fixture(autouse=True)
def _well(service: Service, upstream: Upstream):
    """Each test begins with a breaker that is closed."""
    upstream.toxic, upstream.latency_s = Toxic.OK, 0.0
    service.wait_until(lambda: service.ask().status_code == 200 and service.breaker() == "closed")


def many(service: Service, messages: list[str], **headers: str) -> list[dict]:
    """The bodies of the answers, every one of them a 200."""
    with service.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answers = list(pool.map(lambda text: client.post(URL, json={"message": text}, headers=headers), messages))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


@pytest.mark.parametrize("toxic", [Toxic.UNAUTHORISED, Toxic.QUOTA, Toxic.RATE_LIMITED, Toxic.REFUSAL])
def test_an_llm_that_says_no_is_one_that_is_there(toxic, service, upstream):
    upstream.toxic, calls = toxic, upstream.calls
    assert all(one["degraded"] for one in many(service, [HELLO] * 2 * MIN_CALLS))
    assert upstream.calls - calls == 2 * MIN_CALLS
    assert service.breaker() == "closed"


def test_clients_that_leave_do_not_open_it(service, upstream):
    upstream.latency_s, calls = 1.0, upstream.calls
    body = json.dumps({"message": HELLO}).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    left = []
    for _ in range(2 * MIN_CALLS):
        left.append(socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))))
        left[-1].sendall(head + body)
    upstream.wait_for(lambda one: one.calls - calls >= MIN_CALLS)
    for connection in left:
        connection.close()
    upstream.wait_for(lambda one: one.calls - calls >= 2 * MIN_CALLS and one.under_way == 0)
    assert service.breaker() == "closed"
    assert not service.ask().json()["degraded"]


def test_clients_in_a_hurry_do_not_open_it(service, upstream):
    upstream.toxic = Toxic.HANG
    assert all(one["degraded"] for one in many(service, [HELLO] * 2 * MIN_CALLS, x_request_deadline="0.3"))
    assert service.breaker() == "closed"


def test_with_the_llm_down_all_are_answered_it_is_left_alone_and_one_probe_finds_it_well_again(service, upstream):
    upstream.toxic, calls = Toxic.SERVER_ERROR, upstream.calls
    # What the tests above made it hear counts among the calls in the window: more than half must fail before it opens.
    answers = many(service, [HARM if number % 10 == 0 else HELLO for number in range(300)])
    assert all(one["degraded"] for one in answers)
    assert all(one["category"] == "safety_compliance" for one in answers[::10])
    assert {one["request_id"] for one in answers} <= service.recorded()
    assert service.breaker() == "open"
    assert service.metric('llm_breaker_state{state="open"}') == 1
    assert service.metric('llm_errors_total{kind="breaker_open"}') > 0
    assert upstream.calls - calls < 300, "it was not left alone"
    probes_once_it_is_well(service, upstream)


def probes_once_it_is_well(service: Service, upstream: Upstream) -> None:
    """The probe is held back until all others are answered: so they cannot have come after it."""
    well, calls = threading.Event(), upstream.calls
    began = threading.Event()

    def held(_: int) -> Toxic:
        began.set()
        well.wait(60)  # the server's loop stands still meanwhile, and it hears of no other request
        return Toxic.OK

    upstream.toxic = held
    with ThreadPoolExecutor(AT_ONCE) as pool:
        probe = pool.submit(service.ask)
        while not began.wait(0.05):  # the breaker is open for a while yet
            if probe.done():
                probe = pool.submit(service.ask)
        others = many(service, [HELLO] * 100)
        assert service.breaker() == "half_open"
        assert not probe.done()
        well.set()
        assert not probe.result().json()["degraded"]
    assert all(one["degraded"] for one in others)
    assert upstream.calls - calls == 1
    assert service.breaker() == "closed"
    assert not service.ask().json()["degraded"]
