"""Idempotency-Key: a request made again is answered the same and done once."""

import asyncio
import os

import pytest
from in_process import REFUND, URL, ended, served, service_llm, tickets

from orchestrator.errors import StoreUnavailableError
from orchestrator.store.ledger import Ledger
from orchestrator.testing import ScriptedLLM

RETRIES = int(os.environ.get("IDEMPOTENCY_RETRIES", "300"))  # 10,000 of them are the contract's figure
KEYS = 50
AT_ONCE = 64


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request, database):
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else database


class GatedLLM(ScriptedLLM):
    """Answers once the gate is open."""

    def __init__(self):
        scripted = service_llm()
        super().__init__(scripted._script)
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def __call__(self, request, /):
        self.asked.set()
        await self.gate.wait()
        return await super().__call__(request)


def ask(client, key=None, message=REFUND, *, who="desk", mode="sync", **more):
    headers = {"X-Client": who} | ({"Idempotency-Key": key} if key is not None else {})
    return client.post(URL, params={"mode": mode}, json={"message": message} | more, headers=headers)


def test_a_retry_gets_the_same_status_and_body_and_says_so(each_database):
    async def main():
        async with served(each_database) as client:
            first, again = await ask(client, "k1"), await ask(client, "k1")
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.content == first.content
        assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")

    asyncio.run(main())
    assert tickets(each_database) == 1


def test_a_key_outlives_the_process(database):
    async def main():
        async with served(database) as client:
            first = await ask(client, "k1")
        async with served(database) as client:
            again = await ask(client, "k1")
        assert again.content == first.content

    asyncio.run(main())
    assert tickets(database) == 1


def test_without_a_key_each_request_is_one_of_its_own(database):
    async def main():
        async with served(database) as client:
            assert {(await ask(client)).status_code for _ in range(2)} == {200}

    asyncio.run(main())
    assert tickets(database) == 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_key_with_another_body_is_a_422_problem(database, mode):
    async def main():
        async with served(database) as client:
            await ask(client, "k1", mode=mode)
            other = await ask(client, "k1", REFUND + " now", mode=mode)
            same_text = await ask(client, "k1", channel="mail", mode=mode)
        for response in (other, same_text):
            assert response.status_code == 422
            assert response.headers["content-type"] == "application/problem+json"
            assert "used for another request" in response.json()["detail"]

    asyncio.run(main())


def test_keys_are_each_clients_own(database):
    async def main():
        async with served(database) as client:
            mine, yours = await ask(client, "k1"), await ask(client, "k1", REFUND + " now", who="shop")
        assert yours.status_code == 200
        assert yours.json()["request_id"] != mine.json()["request_id"]

    asyncio.run(main())
    assert tickets(database) == 2


def test_while_the_first_is_under_way_the_second_gets_409_and_then_its_answer(database):
    async def main():
        llm = GatedLLM()
        async with served(database, llm=llm) as client:
            first = asyncio.create_task(ask(client, "k1"))
            await llm.asked.wait()
            busy, other = await ask(client, "k1"), await ask(client, "k1", "another message")
            llm.gate.set()
            answered, again = await first, await ask(client, "k1")
        assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
        assert other.status_code == 422
        assert again.content == answered.content

    asyncio.run(main())
    assert tickets(database) == 1


def test_two_replicas_with_one_key_at_once_give_one_answer_and_one_ticket(each_database):
    async def main():
        one, two = GatedLLM(), GatedLLM()
        async with served(each_database, llm=one) as first, served(each_database, llm=two) as second:
            asked = [asyncio.create_task(ask(client, "k1")) for client in (first, second)]
            await asyncio.gather(one.asked.wait(), two.asked.wait())  # neither has found the key
            one.gate.set(), two.gate.set()
            answers = await asyncio.gather(*asked)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", "true"]

    asyncio.run(main())
    assert tickets(each_database) == 1


def test_a_malformed_key_is_a_400_problem(database):
    async def main():
        async with served(database) as client:
            for path, body in ((URL, {"message": "x"}), (URL + "/batch", {"messages": [{"message": "x"}]})):
                for key in ("", " ", "a b", "schl\u00fcssel".encode("latin-1"), "x" * 256):
                    response = await client.post(path, json=body, headers={"Idempotency-Key": key})
                    assert response.status_code == 400, key
                    assert response.headers["content-type"] == "application/problem+json"

    asyncio.run(main())


def test_two_keys_are_a_400_problem_and_the_longest_is_fine(database):
    async def main():
        async with served(database) as client:
            two = await client.post(URL, json={"message": "x"}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
            longest = await ask(client, "~" * 255)
        assert (two.status_code, longest.status_code) == (400, 200)

    asyncio.run(main())


class DownAtFirst(Ledger):
    """A store that refuses the first outcome."""

    def submit(self, *arguments):
        if not self.environment.get("was down"):
            object.__setattr__(self, "environment", dict(self.environment) | {"was down": "yes"})
            raise StoreUnavailableError("scripted")
        return super().submit(*arguments)


def test_what_failed_is_not_remembered(database):
    async def main():
        async with served(database, kind=DownAtFirst) as client:
            failed, again = await ask(client, "k1"), await ask(client, "k1")
        assert (failed.status_code, again.status_code) == (503, 200)
        assert "idempotency-replayed" not in again.headers

    asyncio.run(main())
    assert tickets(database) == 1


def test_a_queued_message_asked_again_is_the_same_job(each_database):
    async def main():
        async with served(each_database) as client:
            first, again = await ask(client, "k1", mode="async"), await ask(client, "k1", mode="async")
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.content == first.content
        assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")

    asyncio.run(main())


def test_the_same_key_at_once_and_queued_is_done_once(database):
    async def main():
        async with served(database) as client:
            queued = (await ask(client, "k1", mode="async")).json()
            at_once = await ask(client, "k1")
            assert at_once.status_code == 200
        async with served(database, job_concurrency=2) as client:
            job = await ended(client, queued)
        assert job["result"] == at_once.json()

    asyncio.run(main())
    assert tickets(database) == 1


def test_however_often_it_is_retried_there_is_one_ticket_for_a_key(each_database):
    statuses = {}

    async def main():
        slots = asyncio.Semaphore(AT_ONCE)
        bodies = {}

        async def retry(client, number):
            key = f"key-{number % KEYS}"
            async with slots:
                response = await ask(client, key, f"{REFUND} ({key})")
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            if response.status_code == 200:
                bodies.setdefault(key, set()).add(response.content)

        async with served(each_database) as one, served(each_database) as two:
            await asyncio.gather(*(retry((one, two)[number // KEYS % 2], number) for number in range(RETRIES)))
        assert {len(said) for said in bodies.values()} == {1}
        assert len(bodies) == KEYS

    asyncio.run(main())
    assert set(statuses) <= {200, 409}
    assert sum(statuses.values()) == RETRIES
    assert tickets(each_database) == KEYS
