"""Queued messages over HTTP: accepted durably, answered later, told to nobody else."""

import asyncio
import os
import time
from datetime import UTC, datetime

import pytest
from in_process import REFUND, URL, ended, has_jobs_left, served, stored, tickets, until

from orchestrator.callbacks import callback_settings
from orchestrator.errors import OrchestratorError
from orchestrator.store import tables
from orchestrator.store.ledger import Ledger
from orchestrator.testing_receiver import Receiver, Said

BURST = int(os.environ.get("JOBS_BURST", "200"))  # 10,000 of them are measured in docs/jobs.md
AT_ONCE = 64
SECRET = "a secret of the tests"  # noqa: S105  # it protects nothing


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


def queue_up(client, message=REFUND, *, who="desk", **more):
    return client.post(URL, params={"mode": "async"}, json={"message": message} | more, headers={"X-Client": who})


def test_a_queued_message_is_accepted_with_the_place_of_its_answer_and_answered_there(database):
    async def main():
        async with served(database) as client:
            accepted = await queue_up(client)
            waits = await client.get(accepted.json()["status_url"])
        async with served(database, job_concurrency=2) as client:  # another process, after a restart
            done = await ended(client, accepted.json())
            at_once = (await client.post(URL, json={"message": REFUND})).json()
        assert accepted.status_code == 202
        job_id = accepted.json()["job_id"]
        assert accepted.json() == {"job_id": job_id, "status": "queued", "status_url": f"/api/v1/jobs/{job_id}"}
        assert accepted.headers["location"] == f"/api/v1/jobs/{job_id}"
        assert (waits.json()["status"], waits.json()["result"], waits.headers["retry-after"]) == ("queued", None, "1")
        assert (done["status"], done["error"], done["result"]["request_id"]) == ("done", None, job_id)
        own = {"request_id", "processing_time_ms"}
        assert {name: done["result"][name] for name in at_once if name not in own} == {n: v for n, v in at_once.items() if n not in own}

    asyncio.run(main())


def test_only_who_queued_it_and_an_admin_can_see_a_job(database):
    async def main():
        async with served(database) as client:
            url = (await queue_up(client)).json()["status_url"]
            seen = {who: (await client.get(url, headers={"X-Client": who})).status_code for who in ("desk", "shop", "admin")}
            unknown = [await client.get(f"/api/v1/jobs/{name}") for name in ("none", "%00", "%ff", "x" * 300)]
        assert seen == {"desk": 200, "shop": 404, "admin": 200}
        assert {response.status_code for response in unknown} == {404}
        assert {response.headers["content-type"] for response in unknown} == {"application/problem+json"}

    asyncio.run(main())


def test_who_asked_for_it_is_called_back_with_the_signed_answer_until_it_is_taken(database, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)

    async def main(receiver):
        async with served(database, job_concurrency=2, callback_hosts=("127.0.0.1",)) as client:
            job = (await queue_up(client, callback_url=receiver.url + "?token=abc")).json()
            done = await ended(client, job)
            await asyncio.to_thread(receiver.wait_for, lambda one: one.effects)
        return job["job_id"], done

    script = lambda _, number: Said(status=302, headers={"Location": "http://127.0.0.1:1/"}) if number == 0 else Said()  # noqa: E731
    with Receiver(script, secret=SECRET, clock=lambda: datetime.now(UTC)) as receiver:
        job_id, done = asyncio.run(main(receiver))
    assert receiver.effects == [f"job.finished:{job_id}"]
    told = receiver.requests[-1].told
    assert (told["topic"], told["request_id"]) == ("job.finished", job_id)
    assert told["payload"] == {"job_id": job_id, "status": "done", "result": done["result"], "error": None}


REFUSED = (
    "https://elsewhere.example/hook",
    "http://desk.example/hook",
    "https://desk.example@elsewhere.example/",
    "https://elsewhere.example\\@desk.example/",
    "https://desk.example:99999/",
    "ftp://desk.example/",
    "//desk.example/",
    "https://desk.example /",
    "https://127.0.0.1.desk.example/",
    "",
    "x" * 3000,
)


def test_a_url_that_may_not_be_called_back_is_a_422_problem_that_does_not_repeat_it(database):
    async def main():
        async with served(database, callback_hosts=("desk.example", "127.0.0.1")) as client:
            for url in REFUSED:
                refused = await queue_up(client, callback_url=url)
                assert refused.status_code == 422, url
                assert "callback_url" in refused.json()["detail"]
                assert "elsewhere" not in refused.text

    asyncio.run(main())


def test_allowed_urls_are_queued_and_only_with_mode_async(database):
    async def main():
        async with served(database, callback_hosts=("desk.example", "127.0.0.1", "::1")) as client:
            for url in ("https://desk.example", "https://DESK.example:8443/a?b=c#d", "http://127.0.0.1:9/", "http://[::1]:9/x"):
                assert (await queue_up(client, callback_url=url)).status_code == 202
            at_once = await client.post(URL, json={"message": "x", "callback_url": "https://desk.example/"})
        assert at_once.status_code == 422

    asyncio.run(main())


def test_callbacks_without_a_secret_stop_the_start():
    with pytest.raises(OrchestratorError, match="WEBHOOK_SECRET is not set"):
        callback_settings({}, ("desk.example",))
    assert callback_settings({}, ()).secret == ""


def test_a_full_queue_is_a_503_problem_that_says_when_to_come_again(database):
    async def main():
        async with served(database, job_queue_limit=2) as client:
            statuses = [(await queue_up(client)).status_code for _ in range(2)]
            full = await queue_up(client)
        assert statuses == [202, 202]
        assert (full.status_code, full.headers["retry-after"]) == (503, "5")
        assert "nothing was accepted" in full.json()["detail"]

    asyncio.run(main())


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_burst_is_accepted_and_every_message_of_it_done_once(request, database, store, capsys):
    url = request.getfixturevalue("postgres_url") if store == "postgres" else database
    took = {}

    async def main():
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(client, number):
            async with slots:
                response = await queue_up(client, f"{REFUND} ({number})")
            assert response.status_code == 202
            return response.json()["job_id"]

        async with served(url, job_queue_limit=100_000) as client:
            began = time.monotonic()
            ids = await asyncio.gather(*(one(client, number) for number in range(BURST)))
            took["accepted"] = time.monotonic() - began
        async with served(url, job_concurrency=16):
            began = time.monotonic()
            await until(lambda: not has_jobs_left(watch))
            took["done"] = time.monotonic() - began
        return ids

    watch = Ledger.at(url, os.environ)

    ids = asyncio.run(main())
    watch.close()
    with capsys.disabled():
        print(f"\n{store}: {BURST} accepted in {took['accepted']:.1f} s, all done {took['done']:.1f} s later")
    assert stored(url, tables.Job.id) == dict.fromkeys(ids, 1)
    assert stored(url, tables.Job.status) == {"done": BURST}
    assert stored(url, tables.Ticket.request_id) == dict.fromkeys(ids, 1)
    assert tickets(url) == BURST
