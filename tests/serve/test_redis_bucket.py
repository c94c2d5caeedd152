import asyncio
import json
import math
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager

import pytest
from cuttable import cuttable
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, require_service

from serve.limits.bucket import Buckets
from serve.limits.redis_bucket import RedisBuckets

HOST, PORT = "127.0.0.1", 6379
PATIENT = {"timeout_s": 20.0}  # where Redis works, a loaded machine must not look as if it did not


@pytest.fixture(scope="module", autouse=True)
def _redis():
    require_service("Redis", HOST, PORT)


@asynccontextmanager
async def opened(port=PORT, prefix=None, **options):
    buckets = RedisBuckets(f"redis://{HOST}:{port}/0", prefix=prefix or f"test:{uuid.uuid4()}:", **options)
    try:
        yield buckets
    finally:
        await buckets.aclose()


ON = st.one_of(st.integers(0, 3), st.integers(0, 3_000_000), st.just("as told"), st.just("a bit less"))
BACK = st.integers(-2_000_000, -1)  # of one client: where a clock is set back, what was forgotten of others as full is not remembered
STEPS = st.one_of(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 7), ON), max_size=25),
    st.lists(st.tuples(st.just("a"), st.integers(1, 7), st.one_of(ON, BACK)), max_size=25),
)


@given(per_minute=st.integers(1, 10_000), burst=st.integers(1, 6), steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_it_answers_as_the_buckets_in_memory_do(per_minute, burst, steps):
    now = [1_790_000_000_000_000]  # microseconds as Redis counts them

    async def compare():
        memory, told_us = Buckets(lambda: now[0]), 0
        async with opened(redis_clock_us=lambda: now[0], **PATIENT) as shared:
            for client, tokens, passed in steps:
                now[0] += {"as told": told_us, "a bit less": max(0, told_us - 1)}.get(passed, passed)
                one = memory.take_now(client, tokens, per_minute=per_minute, burst=burst)
                assert await shared.take(client, tokens, per_minute=per_minute, burst=burst) == one
                told_us = 0 if one.retry_after_s == math.inf else round(one.retry_after_s * 1e6)
            assert shared.trouble is None

    asyncio.run(compare())


PROCESS = """
import asyncio, json, sys
from serve.limits.redis_bucket import RedisBuckets

async def main(prefix):
    buckets = RedisBuckets("redis://127.0.0.1:6379/0", prefix=prefix, timeout_s=20.0)
    taken = await asyncio.gather(*(buckets.take("one", per_minute=1, burst=50) for _ in range(40)))
    await buckets.aclose()
    print(json.dumps([sum(one.allowed for one in taken), buckets.trouble]))

asyncio.run(main(sys.argv[1]))
"""


def test_processes_that_ask_at_once_share_one_bucket_exactly():
    prefix = f"test:{uuid.uuid4()}:"
    command = [sys.executable, "-c", PROCESS, prefix]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [trouble for _, trouble in answers] == [None] * 2
    assert sum(allowed for allowed, _ in answers) == 50


def test_a_bucket_that_is_full_again_leaves_nothing_in_redis():
    async def main():
        prefix = f"test:{uuid.uuid4()}:"
        async with opened(prefix=prefix, **PATIENT) as buckets:
            assert (await buckets.take("a", per_minute=60, burst=3)).allowed
            assert 0 < await buckets._redis.pttl(f"{prefix}a") <= 1000
            assert (await buckets.take("b", per_minute=6000, burst=3)).allowed
            until = time.monotonic() + 10
            while await buckets._redis.exists(f"{prefix}b"):
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            assert (await buckets.take("b", 4, per_minute=6000, burst=3)).retry_after_s == math.inf
            assert not await buckets._redis.exists(f"{prefix}b")

    asyncio.run(main())


def test_a_redis_that_does_not_know_the_script_is_told_it():
    async def main():
        async with opened(**PATIENT) as buckets:
            await buckets._redis.script_flush()  # as after a restart; whoever runs scripts there must bear it
            for remaining in (1, 0):
                assert (await buckets.take("a", per_minute=1, burst=2)).remaining == remaining
            assert buckets.trouble is None

    asyncio.run(main())


class Outage:
    """A Redis behind a proxy, and what the buckets in front of it have told."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.told: list[str] = []
        self.now = 100.0

    def opened(self, timeout_s=20.0):
        return opened(self.proxy.port, timeout_s=timeout_s, pause_s=1.0, on_fallback=self.told.append, clock=lambda: self.now)


@pytest.fixture
def outage():
    with cuttable(HOST, PORT) as proxy:
        yield Outage(proxy)


def test_with_redis_gone_each_process_limits_by_itself_until_it_is_back(outage):
    async def main():
        async with outage.opened() as buckets:
            assert (await buckets.take("a", per_minute=1, burst=3)).remaining == 2
            outage.proxy.cut()
            taken = [(await buckets.take("a", per_minute=1, burst=3)).allowed for _ in range(5)]
            assert taken == [True, True, True, False, False], "never without a limit"
            assert outage.told == ["ConnectionError"] * 5
            outage.proxy.restore()
            await buckets.take("a", per_minute=1, burst=3)
            assert len(outage.told) == 6, "within the pause Redis is not asked"
            outage.now += 1.5
            assert (await buckets.take("a", per_minute=1, burst=3)).remaining == 1, "Redis counts on from where it was"
            assert (len(outage.told), buckets.trouble) == (6, None)

    asyncio.run(main())


def test_a_redis_that_hangs_is_waited_for_once_and_shortly(outage):
    async def main():
        async with outage.opened(timeout_s=0.1) as buckets:
            outage.proxy.swallow()
            started = time.monotonic()
            taken = [await buckets.take("a", per_minute=1, burst=30) for _ in range(40)]
            assert time.monotonic() - started < 2, "40 waits would be 4 s"
            assert sum(one.allowed for one in taken) == 30
            assert outage.told == ["TimeoutError"] * 40

    asyncio.run(main())


def test_after_the_pause_one_asks_and_the_others_do_not_wait_with_it(outage):
    async def main():
        async with outage.opened(timeout_s=0.5) as buckets:
            outage.proxy.cut()
            await buckets.take("a", per_minute=1, burst=30)
            outage.proxy.restore()
            outage.proxy.swallow()
            outage.now += 1.5
            probe = asyncio.create_task(buckets.take("a", per_minute=1, burst=30))
            await asyncio.sleep(0)
            await buckets.take("a", per_minute=1, burst=30)
            assert not probe.done()
            assert len(outage.told) == 2
            await probe

    asyncio.run(main())


@pytest.mark.parametrize("connected", [True, False])
def test_a_call_that_is_cancelled_at_any_step_does_not_mix_up_the_next_ones_answer(connected):
    async def cancelled_after(steps):
        async with opened(**PATIENT) as buckets:
            if connected:
                await buckets.take("warm", per_minute=1, burst=9)
            call = asyncio.create_task(buckets.take("a", per_minute=1, burst=9))
            for _ in range(steps):
                await asyncio.sleep(0)
            under_way = call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (await buckets.take("b", per_minute=1, burst=2)).remaining == 1
            assert buckets.trouble is None
            return under_way

    async def main():
        steps = 0
        while await cancelled_after(steps):
            steps += 1
        assert steps

    asyncio.run(main())


def test_a_redis_that_answers_with_an_error_has_failed_too():
    async def main():
        told = []
        async with opened(prefix=(prefix := f"test:{uuid.uuid4()}:"), on_fallback=told.append, **PATIENT) as buckets:
            await buckets._redis.rpush(f"{prefix}a", "no bucket")
            assert (await buckets.take("a", per_minute=1, burst=2)).remaining == 1
            await buckets._redis.delete(f"{prefix}a")
        assert told == ["ResponseError"]

    asyncio.run(main())
