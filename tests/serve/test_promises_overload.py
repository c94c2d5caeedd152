"""Overload: far more come than there are places. Everybody is told something, and messages with a red flag are let in."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_process import HARM, HELLO, URL, Service, service_process

from orchestrator.testing import misbehaving_upstream

PLACES = 10  # two of them kept for red flags
CROWD = 40
LATENCY_S = 0.3


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):
    settings = {"MAX_CONCURRENT_REQUESTS": str(PLACES), "RED_FLAG_SHARE": "0.2", "QUEUE_SIZE": "5", "QUEUE_SECONDS": "0.5"}
    folder = tmp_path_factory.mktemp("overload")
    with misbehaving_upstream(latency_s=LATENCY_S) as upstream, service_process(folder, upstream.base_url, **settings) as service:
        yield service


def test_in_a_crowd_everybody_gets_an_answer_or_a_time_to_come_back_and_red_flags_are_let_in(service: Service):
    over = threading.Event()

    def crowd(_: int) -> list:
        told = []
        with service.client() as client:
            while not over.is_set():
                told.append(client.post(URL, json={"message": HELLO}))
                if told[-1].status_code == 503:
                    over.wait(0.2)  # less than it was asked to wait
        return told

    def harmed(_: int) -> list:
        with service.client() as client:
            return [client.post(URL, json={"message": HARM}) for _ in range(6)]

    with ThreadPoolExecutor(CROWD + 2) as pool:
        ordinary = [pool.submit(crowd, number) for number in range(CROWD)]
        urgent = [one for told in pool.map(harmed, range(2)) for one in told]
        over.set()
        told = [one for future in ordinary for one in future.result()]
    assert {one.status_code for one in urgent} == {200}
    assert {one.json()["category"] for one in urgent} == {"safety_compliance"}
    assert {one.status_code for one in told} == {200, 503}
    shed = [one for one in told if one.status_code == 503]
    assert all(int(one.headers["retry-after"]) >= 1 for one in shed)
    assert all(one.headers["content-type"] == "application/problem+json" for one in shed)
    assert service.metric("requests_shed_total") == len(shed)
    service.wait_until(lambda: _shed_in_the_log(service) == len(shed))
    answered = {one.json()["request_id"] for one in [*urgent, *told] if one.status_code == 200}
    assert answered == service.recorded()  # who was shed left no trace


def _shed_in_the_log(service: Service) -> int:
    """How many were shed by what the log tells: some in a line of their own, the others counted in one a second."""
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
    return sum("shed" in line or line.get("count", 0) for line in lines)
