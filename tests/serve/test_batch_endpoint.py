"""Batches: each message has its answer or its error in its place."""

import asyncio

import pytest
from in_process import REFUND, URL, Deadline, served, service_llm, stored, tickets

from orchestrator.store import tables

BATCH = URL + "/batch"


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request, database):
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else database


def rows_of(count):
    return [{"message": f"{REFUND} ({number})"} for number in range(count)]


def send(client, rows, key=None, mode="sync"):
    return client.post(BATCH, params={"mode": mode}, json={"messages": rows}, headers={"Idempotency-Key": key} if key else {})


def test_every_message_is_answered_in_its_place_and_a_wrong_one_with_why(each_database):
    rows = [
        {"message": REFUND},
        {"message": " "},
        {"message": "my secret rash " * 20},
        {"message": REFUND, "channel": "fax"},
        "secret text",
        {"message": REFUND, "colour": "red"},
        {"message": "refund \x00 me", "channel": "mail", "metadata": {"customer_id": "C-1"}},
    ]

    async def main():
        async with served(each_database, max_chars_chat=200) as client:
            response = await send(client, rows)
        assert response.status_code == 200
        assert "secret" not in response.text
        results = response.json()["results"]
        assert [row["index"] for row in results] == list(range(7))
        assert [row["response"] is not None for row in results] == [True, False, False, False, False, False, True]
        errors = {row["index"]: row["error"] for row in results if row["error"]}
        assert {error["status"] for error in errors.values()} == {422}
        fields = {1: "message", 2: "message", 3: "channel", 4: "row", 5: "(unknown field)"}
        assert {at: error["field"] for at, error in errors.items()} == fields
        assert errors[2]["reason"] == "300 characters; at most 200 are accepted on channel chat"
        assert len({row["response"]["request_id"] for row in results if row["response"]}) == 2

    asyncio.run(main())
    assert tickets(each_database) == 2


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": "x"}, {"messages": [{"message": "x"}] * 6}, {"messages": [], "a": 1}])
def test_what_is_no_batch_is_a_422_problem(database, body):
    async def main():
        async with served(database, max_batch_messages=5) as client:
            for mode in ("sync", "async"):
                response = await client.post(BATCH, params={"mode": mode}, json=body)
                assert response.status_code == 422
                assert response.headers["content-type"] == "application/problem+json"

    asyncio.run(main())


def test_a_batch_takes_a_quarter_of_the_places(database):
    llm = service_llm(delay_s=0.01)

    async def main():
        async with served(database, llm=llm, max_concurrent_requests=12) as client:
            await asyncio.gather(send(client, rows_of(8)), send(client, rows_of(8)))

    asyncio.run(main())
    assert (llm.calls, llm.peak) == (16, 3)


def test_rows_that_are_not_begun_by_the_deadline_say_so_and_red_flags_are_begun_first(database):
    rows = [*rows_of(5), {"message": "my throat is closing up since the new tablets"}]

    async def main():
        async with served(database, deadline=Deadline(1 + 6 + 3), max_concurrent_requests=4) as client:
            results = (await send(client, rows)).json()["results"]
        assert [row["error"] and row["error"]["status"] for row in results] == [None, None, 504, 504, 504, None]

    asyncio.run(main())
    assert sum(stored(database, tables.Interaction.request_id).values()) == 3


def test_a_retry_replays_the_rows_that_are_done_and_does_the_others(database):
    async def main():
        async with served(database, deadline=Deadline(1 + 4 + 2), max_concurrent_requests=4) as client:
            part = (await send(client, rows_of(4), "k")).json()["results"]
        async with served(database) as client:
            whole, again = await send(client, rows_of(4), "k"), await send(client, rows_of(4), "k")
            other = await send(client, [{"message": "cancel it"}, *rows_of(4)[1:]], "k")
        results = whole.json()["results"]
        assert [row["replayed"] for row in results] == [True, True, False, False]
        assert [row["response"] for row in results[:2]] == [row["response"] for row in part[:2]]
        assert (whole.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
        assert [row["response"] for row in again.json()["results"]] == [row["response"] for row in results]
        assert [row["error"] and row["error"]["status"] for row in other.json()["results"]] == [422, None, None, None]

    asyncio.run(main())
    assert tickets(database) == 4


def test_a_batch_is_queued_whole_and_once(each_database):
    async def main():
        async with served(each_database) as client:
            first = await send(client, rows_of(600), "k", "async")
            again = await send(client, rows_of(600), "k", "async")
            others = [await send(client, rows, "k", "async") for rows in (rows_of(601), rows_of(599), rows_of(600)[::-1])]
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert [other.status_code for other in others] == [422, 422, 422]
        assert len({job["job_id"] for job in first.json()["jobs"]}) == 600

    asyncio.run(main())
    assert sum(stored(each_database, tables.Job.id).values()) == 600


def test_of_a_batch_with_a_wrong_message_nothing_is_queued(database):
    async def main():
        async with served(database) as client:
            response = await send(client, [*rows_of(2), {"message": ""}], mode="async")
        assert response.status_code == 422
        assert "messages.2.message" in response.json()["detail"]

    asyncio.run(main())
    assert stored(database, tables.Job.id) == {}
