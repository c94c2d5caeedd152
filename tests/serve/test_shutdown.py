"""Shutdown: SIGTERM under load drops nothing that was in flight, and loses nothing that was acknowledged."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from service_process import HELLO, URL, Service, service_process

from orchestrator.testing import Toxic, misbehaving_upstream

CLIENTS = 8


@pytest.fixture
def upstream():
    with misbehaving_upstream(Toxic.OK, latency_s=0.05) as upstream:
        yield upstream


def answered(answers: list[httpx2.Response]) -> set[str]:
    """The ids of answers, each of which is a whole 200 from an LLM that was asked."""
    assert {answer.status_code for answer in answers} == {200}
    assert not any(answer.json()["degraded"] for answer in answers)
    return {answer.json()["request_id"] for answer in answers}


def under_load(service: Service) -> list[httpx2.Response]:
    """Send over kept connections, SIGTERM meanwhile, and stop where ``/ready`` says 503, as a load balancer does: all answers."""
    not_ready, enough = threading.Event(), threading.Semaphore(0)

    def client(_: int) -> list[httpx2.Response]:
        told = []
        with service.client() as kept:
            while not not_ready.is_set():
                told.append(kept.post(URL, json={"message": HELLO}))
                enough.release()
        return told

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(client, number) for number in range(CLIENTS)]
        for _ in range(5 * CLIENTS):
            assert enough.acquire(timeout=60)
        service.terminate()
        try:
            service.wait_until(lambda: service.ready().status_code == 503)
        finally:
            not_ready.set()
        return [answer for future in futures for answer in future.result()]


DRAINS = {"DRAIN_SECONDS": "3"}  # on a loaded machine somebody must come round to ask /ready within them


def stopped_under_load(service: Service) -> set[str]:
    """The ids of what clients were answered that stop when it is not ready: all they sent. It has ended in order."""
    answers = answered(under_load(service))
    assert service.exit_code() == 0, service.log()
    assert len(answers) >= 5 * CLIENTS
    assert answers <= service.recorded()
    return answers


def test_with_two_workers_clients_that_stop_when_it_is_not_ready_lose_nothing_and_metrics_are_sums(tmp_path, upstream):
    with service_process(tmp_path, upstream.base_url, WORKERS="2", **DRAINS) as service:
        with service.client() as client:
            before = answered([client.post(URL, json={"message": HELLO}) for _ in range(10)])
        metric = 'classification_requests_total{status="200"}'
        service.wait_until(lambda: service.metric(metric) == len(before))  # the sum of all workers, whichever is asked
        answers = stopped_under_load(service)
        assert service.recorded() == before | answers
        assert service.log().count('"status": 200') >= len(before)  # an access line for each


def test_what_is_in_flight_is_answered_queued_jobs_are_done_after_the_next_start_and_draining_loses_nothing(tmp_path, upstream):
    upstream.latency_s = 0.3
    with service_process(tmp_path, upstream.base_url, DRAIN_SECONDS="0", JOB_CONCURRENCY="1") as service:
        with service.client() as client, ThreadPoolExecutor(20) as pool:
            queued = [client.post(f"{URL}?mode=async", json={"message": HELLO}) for _ in range(20)]
            upstream.latency_s, calls = 1.0, upstream.calls
            sent = [pool.submit(client.post, URL, json={"message": HELLO}) for _ in range(20)]
            upstream.wait_for(lambda one: one.calls - calls >= 20 and one.under_way >= 20)
            service.terminate()
            in_flight = answered([future.result() for future in sent])
        assert service.exit_code() == 0, service.log()
    assert {answer.status_code for answer in queued} == {202}
    assert in_flight <= service.recorded()
    upstream.latency_s = 0.05
    with service_process(tmp_path, upstream.base_url, **DRAINS) as service:
        with service.client() as client:
            for one in queued:
                service.wait_until(lambda one=one: client.get(one.json()["status_url"]).json()["status"] == "done")
        assert len(service.recorded()) == len(in_flight) + len(queued)  # and none was done twice
        stopped_under_load(service)
