import asyncio

import pytest

from evals.pace import LONGEST_PAUSE_S, START, Paced, Timed
from orchestrator.llm import Reply, Request, Turn
from orchestrator.retrying import Retrying
from orchestrator.schema import Failure, FailureKind, Usage

MOST = 32


def request(number: int) -> Request:
    return Request(model="m", model_digest="d", turns=(Turn(role="user", content=str(number)),), answer_schema={}, max_tokens=4)


class Server:
    """Answers by ``script``, after a turn of the loop; ``peak`` is the most that were under way at once."""

    def __init__(self, script):
        self.script, self.calls, self.under_way, self.peak, self.times = script, 0, 0, 0, []

    async def __call__(self, _, /):
        self.calls += 1
        number = self.calls
        self.times.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        return self.script(number)


def good(_=0):
    return Reply(text="{}", usage=Usage(latency_s=0.001))


def limited(retry_after_s=None):
    return Failure(kind=FailureKind.RATE_LIMITED, detail="slow down", retry_after_s=retry_after_s)


def drive(paced, n):
    async def go():
        return await asyncio.gather(*(paced(request(i)) for i in range(n)))

    return asyncio.run(go())


def test_it_starts_small_and_grows_to_the_most_and_not_beyond():
    server = Server(good)
    paced = Paced(server, most=MOST)
    assert paced.limit == START
    drive(paced, 400)
    assert paced.limit == server.peak == MOST


def test_a_burst_of_429s_cuts_once():
    server = Server(lambda number: limited() if 100 < number <= 100 + MOST // 2 else good())
    paced = Paced(server, most=MOST)
    drive(paced, 101 + MOST // 2)
    assert paced.cuts == 1
    assert paced.limit >= MOST / 2


def test_after_a_cut_it_grows_by_one_a_round():
    server = Server(lambda number: limited() if number == 200 else good())
    paced = Paced(server, most=MOST)
    drive(paced, 200)
    cut = paced.limit
    drive(paced, int(cut))  # one round
    assert cut <= paced.limit <= cut + 1.5


def test_the_limit_never_falls_below_one():
    paced = Paced(Server(lambda _: limited()), most=MOST)
    for _ in range(20):
        drive(paced, 3)
    assert paced.limit == 1.0


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.CONNECTION])
def test_a_server_error_pauses_growth_and_cuts_nothing(kind):
    paced = Paced(Server(lambda number: Failure(kind=kind, detail="") if number == 1 else good()), most=MOST)
    drive(paced, 1 + START)  # the failure, and as many successes as its round has
    assert (paced.limit, paced.cuts) == (START, 0)
    drive(paced, 50)
    assert paced.limit > START


def test_retry_after_stops_all_sending_until_then():
    server = Server(lambda number: limited(0.15) if number == 1 else good())
    drive(Paced(server, most=2), 6)
    first, others = server.times[0], server.times[2:]  # the second was under way already
    assert all(at - first >= 0.14 for at in others)


def test_a_pause_that_looks_like_a_hang_ends_the_run_instead():
    (answer,) = drive(Paced(Server(lambda _: limited(LONGEST_PAUSE_S + 1)), most=2), 1)
    assert answer.kind == FailureKind.QUOTA
    assert "left alone for 121 s" in answer.detail


def test_a_cancelled_request_hands_its_turn_on():
    async def go():
        server = Server(good)
        paced = Paced(server, most=1)
        tasks = [asyncio.create_task(paced(request(i))) for i in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return [isinstance(result, Reply) for result in results], server.peak

    assert asyncio.run(go()) == ([True, False, False, True, True], 1)


def test_queue_time_is_told_apart_from_service_time():
    class Slow:
        async def __call__(self, _, /):
            await asyncio.sleep(0.02)
            return Reply(text="{}", usage=Usage(latency_s=0.02))

    replies = drive(Timed(Paced(Slow(), most=1)), 3)
    waits = sorted(reply.usage.queue_s for reply in replies)
    assert waits[0] < 0.015 < waits[1] < 0.035 < waits[2]
    assert all(reply.usage.latency_s == 0.02 for reply in replies)
    assert "queue_s" not in replies[0].model_dump_json()


def test_a_retry_waits_as_long_as_the_server_asks():
    server = Server(lambda number: limited(0.1) if number == 1 else good())
    assert isinstance(drive(Retrying(server, attempts=2), 1)[0], Reply)
    assert server.times[1] - server.times[0] >= 0.1


def test_retries_end_at_the_deadline_whatever_the_attempts():
    server = Server(lambda _: limited(0.2))
    (answer,) = drive(Retrying(server, attempts=100, deadline_s=0.5), 1)
    assert isinstance(answer, Failure)
    assert 1 <= server.calls <= 3
