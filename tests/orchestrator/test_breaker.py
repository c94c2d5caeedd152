"""The breaker, against a model of it that is too simple to be wrong."""

import asyncio
import random
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.breaker import NOT_ASKED, Breaker, State
from orchestrator.llm import Reply, Request
from orchestrator.schema import Failure, FailureKind

REQUEST = Request(model="m", model_digest="d", turns=(), answer_schema={}, max_tokens=1)
FAULTS = {FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.SERVER}
WINDOW_S, OPEN_S, MIN_CALLS, SHARE = 20.0, 5.0, 2, 0.5  # so small that a few random steps open it


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """An LLM whose answers come when the test says so."""

    def __init__(self):
        self.asked: list[asyncio.Future] = []

    async def __call__(self, request, /):
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer


def made(llm, clock=None) -> Breaker:
    return Breaker(llm, failure_share=SHARE, min_calls=MIN_CALLS, window_s=WINDOW_S, open_s=OPEN_S, clock=clock or Clock())


def answering(*kinds):
    """An LLM that answers with these one after the other: a kind of failure, or None for a reply; the last for ever."""
    left = list(kinds)

    async def answer(_, /):
        kind = left.pop(0) if len(left) > 1 else left[0]
        return Reply(text="{}") if kind is None else Failure(kind=kind, detail="scripted")

    return answer


async def opened(llm, clock) -> Breaker:
    """A breaker that has just been opened by ``llm``'s first answers, which fail."""
    breaker = made(llm, clock)
    for _ in range(MIN_CALLS):
        await breaker(REQUEST)
    assert breaker.state is State.OPEN
    return breaker


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin, end, fail and are cancelled in any order while time passes; the breaker lets through what the model does."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock, self.llm = Clock(), Held()
        self.breaker = made(self.llm, self.clock)
        self.changes: list[State] = []
        self.breaker.on_change = self.changes.append
        self.calls: list[tuple[asyncio.Task, asyncio.Future, int]] = []  # with the era each began in
        self.state, self.era, self.since, self.openings = State.CLOSED, 0, 0.0, 0
        self.ended: list[tuple[float, bool]] = []

    def teardown(self):
        for task, _, _ in self.calls:
            task.cancel()
        self.step()
        self.loop.close()

    def step(self):
        async def turn():
            for _ in range(3):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def become(self, state):
        self.state, self.era = state, self.era + 1
        self.ended = []
        assert self.changes[-1] is state

    @rule(seconds=st.sampled_from([0.0, 0.5, OPEN_S - 0.5, OPEN_S, OPEN_S, WINDOW_S]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def a_call_begins(self):
        before = len(self.llm.asked)
        task = self.loop.create_task(self.breaker(REQUEST))
        self.step()
        probes = self.state is State.OPEN and self.clock.now - self.since >= OPEN_S
        if probes:
            self.become(State.HALF_OPEN)
        if probes or self.state is State.CLOSED:
            assert len(self.llm.asked) == before + 1
            self.calls.append((task, self.llm.asked[-1], self.era))
        else:
            assert task.result() is NOT_ASKED
            assert len(self.llm.asked) == before

    @precondition(lambda self: self.calls)
    @rule(
        which=st.integers(min_value=0, max_value=50),
        how=st.sampled_from([None, *FailureKind, "cancelled", "bug", FailureKind.SERVER, FailureKind.SERVER]),
    )
    def a_call_ends(self, which, how):
        task, answer, era = self.calls.pop(which % len(self.calls))
        if how == "cancelled":
            task.cancel()
        elif how == "bug":
            answer.set_exception(ZeroDivisionError())
        else:
            answer.set_result(Reply(text="{}") if how is None else Failure(kind=how, detail="scripted"))
        self.step()
        assert task.done()
        if how == "bug":
            assert isinstance(task.exception(), ZeroDivisionError)
        if era != self.era:
            return
        known = how not in {"cancelled", "bug", FailureKind.DEADLINE}
        if self.state is State.HALF_OPEN:
            if known and how in FAULTS:
                self.since = self.clock.now
            self.become(State.OPEN if not known or how in FAULTS else State.CLOSED)
        elif known:
            self.ended.append((self.clock.now, how in FAULTS))
            recent = [failed for at, failed in self.ended if at > self.clock.now - WINDOW_S]
            if len(recent) >= MIN_CALLS and sum(recent) >= SHARE * len(recent):
                self.since, self.openings = self.clock.now, self.openings + 1
                self.become(State.OPEN)

    @invariant()
    def it_is_as_the_model_is(self):
        assert self.breaker.state is self.state
        assert self.breaker.opened_total == self.openings
        assert len(self.changes) == self.era


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_it_behaves_as_the_model_does = BreakerMachine.TestCase


def test_of_a_hundred_callers_of_a_half_open_breaker_exactly_one_is_the_probe():
    async def go():
        clock, held = Clock(), Held()
        failing = True

        async def llm(request, /):
            return Failure(kind=FailureKind.SERVER, detail="down") if failing else await held(request)

        breaker = await opened(llm, clock)
        failing = False
        clock.now += OPEN_S
        calls = [asyncio.create_task(breaker(REQUEST)) for _ in range(100)]
        await asyncio.sleep(0)
        assert len(held.asked) == 1
        assert breaker.state is State.HALF_OPEN
        assert sum(call.done() and call.result() is NOT_ASKED for call in calls) == 99  # at once, without waiting for the probe
        held.asked[0].set_result(Reply(text="{}"))
        answers = await asyncio.gather(*calls)
        assert [isinstance(answer, Reply) for answer in answers].count(True) == 1
        assert breaker.state is State.CLOSED

    asyncio.run(go())


def test_when_the_probe_is_cancelled_the_next_call_is_the_probe():
    async def go():
        clock, held = Clock(), Held()
        breaker = await opened(answering(FailureKind.SERVER), clock)
        breaker._llm = held
        clock.now += OPEN_S
        probe = asyncio.create_task(breaker(REQUEST))
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert breaker.state is State.OPEN
        another = asyncio.create_task(breaker(REQUEST))
        await asyncio.sleep(0)
        assert len(held.asked) == 2
        held.asked[1].set_result(Reply(text="{}"))
        assert isinstance(await another, Reply)
        assert breaker.state is State.CLOSED

    asyncio.run(go())


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - FAULTS))
def test_what_an_llm_that_is_there_says_never_opens_it(kind):
    async def go():
        breaker = made(answering(kind))
        for _ in range(50):
            await breaker(REQUEST)
        return breaker

    breaker = asyncio.run(go())
    assert (breaker.state, breaker.opened_total) == (State.CLOSED, 0)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_an_llm_that_is_not_there_opens_it_and_is_left_alone(kind):
    asyncio.run(opened(answering(kind), Clock()))


async def under_way(breaker, calls) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(breaker(REQUEST)) for _ in range(calls)]
    await asyncio.sleep(0)
    return tasks


def test_what_began_before_it_opened_neither_closes_it_nor_ends_its_probe():
    async def go():
        clock, held = Clock(), Held()
        breaker = made(held, clock)
        calls = await under_way(breaker, MIN_CALLS + 2)
        for answer in held.asked[:MIN_CALLS]:
            answer.set_result(Failure(kind=FailureKind.SERVER, detail="down"))
        await asyncio.gather(*calls[:MIN_CALLS])
        assert breaker.state is State.OPEN
        held.asked[MIN_CALLS].set_result(Reply(text="late"))
        await calls[MIN_CALLS]
        assert breaker.state is State.OPEN
        clock.now += OPEN_S
        (probe,) = await under_way(breaker, 1)
        held.asked[MIN_CALLS + 1].set_result(Reply(text="later"))
        await calls[MIN_CALLS + 1]
        assert breaker.state is State.HALF_OPEN
        probe.cancel()

    asyncio.run(go())


def test_what_opened_it_is_forgotten_once_it_has_closed():
    async def go():
        clock = Clock()
        breaker = await opened(answering(*[FailureKind.SERVER] * MIN_CALLS, None, FailureKind.SERVER, None), clock)
        clock.now += OPEN_S
        for _ in range(2):  # the probe, and a failure
            await breaker(REQUEST)
        return breaker.state

    assert asyncio.run(go()) is State.CLOSED


def test_calls_that_are_cancelled_never_open_it():
    async def go():
        held = Held()
        breaker = made(held)
        calls = [asyncio.create_task(breaker(REQUEST)) for _ in range(50)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return breaker.state, breaker.opened_total, len(held.asked)

    assert asyncio.run(go()) == (State.CLOSED, 0, 50)


def test_a_wall_clock_that_jumps_has_no_effect(monkeypatch):
    jumps = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(-1e9, 1e12))

    async def go():
        breaker = Breaker(answering(FailureKind.SERVER), min_calls=MIN_CALLS, open_s=3600)  # by the clock it has by default
        for _ in range(MIN_CALLS):
            await breaker(REQUEST)
        return [(await breaker(REQUEST)) is NOT_ASKED for _ in range(50)]

    assert all(asyncio.run(go()))
