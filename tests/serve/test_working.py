"""``python -m serve worker`` as a process of its own: it does what is queued, and tells how it is."""

import socket
import subprocess
import sys
from contextlib import suppress

import httpx2
from service_process import HARM, HELLO, Service, service_process
from support import ROOT

from orchestrator.schema import Message
from orchestrator.store.job_queue import JobQueue, NewJob
from orchestrator.store.ledger import Ledger
from orchestrator.testing import misbehaving_upstream


def test_a_worker_does_the_jobs_tells_what_it_did_and_ends_when_it_is_told_to(tmp_path):
    with misbehaving_upstream() as upstream, service_process(tmp_path, upstream.base_url, "worker") as worker:
        ready = worker.ready().json()
        assert (ready["store"], ready["llm"]["breaker"]) == ("up", "closed")
        jobs = queue(worker, [HELLO] * 5 + [HARM])
        worker.wait_until(lambda: worker.recorded() == jobs)
        worker.wait_until(lambda: worker.metric("classification_category_total") == len(jobs))
        assert worker.metric('classification_category_total{category="safety_compliance"}') >= 1
        assert worker.metric("jobs_depth") == 0
        assert worker.metric("store_commit_seconds_count") >= 1
        with worker.client() as client:
            assert client.post("/api/v1/classify", json={"message": HELLO}).status_code == 404
        with socket.create_connection(("127.0.0.1", httpx2.URL(worker.url).port)) as deaf:  # asks, reads nothing, and is not waited for
            deaf.settimeout(0)
            with suppress(BlockingIOError):
                while True:
                    deaf.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            worker.terminate()
            assert worker.exit_code() == 0, worker.log()


def queue(worker: Service, texts: list[str]) -> set[str]:
    """Queue messages past any service; return the ids of their jobs."""
    folder = worker.folder
    ledger = Ledger.at(f"sqlite:///{folder}/serve.db", {"KEY_FILE": str(folder / "keys.json"), "DATA_DIR": str(folder)})
    try:
        jobs = [NewJob("tester", Message(text=text)) for text in texts]
        JobQueue(ledger, limit=100).submit(jobs).result()
        return {job.id for job in jobs}
    finally:
        ledger.close()


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path, monkeypatch):
    with socket.socket() as taken, misbehaving_upstream() as upstream:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("WORKER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("LLM_BASE_URL", upstream.base_url)
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        done = subprocess.run([sys.executable, "-m", "serve", "worker"], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 2
    assert "WORKER_PORT: port" in done.stderr
    assert "Traceback" not in done.stderr
