"""The layers around an LLM, each by itself: time limits, the budget of retries, retries, hedges."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_none

from orchestrator.deadline import Allotted, Punctual, left_s, time_limit
from orchestrator.hedging import Hedging
from orchestrator.llm import Reply, Request
from orchestrator.recent import Recent
from orchestrator.resilience import Resilience
from orchestrator.retry_budget import MINIMUM, RetryBudget
from orchestrator.retrying import Retrying
from orchestrator.schema import Failure, FailureKind
from orchestrator.testing import FaultyLLM

REQUEST = Request(model="m", model_digest="d", turns=(), answer_schema={}, max_tokens=1)
FAILURE = Failure(kind=FailureKind.SERVER, detail="scripted")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Steps:
    """An LLM that takes the next step of a script for each request: seconds to wait (None: for ever), then an answer."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.calls = self.cancelled = 0
        self.exhausted = asyncio.Event()

    async def __call__(self, request, /):
        self.calls += 1
        wait_s, answer = self.steps.pop(0)
        if not self.steps:
            self.exhausted.set()
        try:
            await (asyncio.Event().wait() if wait_s is None else asyncio.sleep(wait_s))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Reply(text=answer) if isinstance(answer, str) else answer


# --- time limits


def test_an_llm_that_hangs_is_given_up_at_its_own_timeout_or_at_the_messages_deadline_whichever_comes_first():
    async def kind(own_s, message_s):
        with time_limit(message_s, FailureKind.DEADLINE):
            return (await Allotted(Punctual(Steps((None, ""))), timeout_s=own_s)(REQUEST)).kind

    async def go():
        return await kind(0.02, 60), await kind(60, 0.02), await kind(0.02, None)

    assert asyncio.run(go()) == (FailureKind.TIMEOUT, FailureKind.DEADLINE, FailureKind.TIMEOUT)


def test_without_time_nobody_is_asked():
    async def go():
        llm = Steps()
        with time_limit(-1, FailureKind.DEADLINE):
            return await Punctual(llm)(REQUEST), llm.calls

    failure, calls = asyncio.run(go())
    assert (failure.kind, calls) == (FailureKind.DEADLINE, 0)


def test_a_limit_inside_another_never_prolongs_it_and_ends_with_its_block():
    async def go():
        assert left_s() == float("inf")
        with time_limit(10, FailureKind.DEADLINE):
            with time_limit(100, FailureKind.TIMEOUT):
                assert left_s() <= 10
            with time_limit(1, FailureKind.TIMEOUT):
                assert left_s() <= 1
            assert left_s() > 1
        assert left_s() == float("inf")

    asyncio.run(go())


def test_the_llms_own_time_ends_before_the_deadline_that_every_message_has():
    assert 26 < Resilience(timeout_s=30).within(30).timeout_s < 28
    assert 17 < Resilience(timeout_s=30).within(30, queue_s=10).timeout_s < 18
    assert Resilience(timeout_s=2).within(30).timeout_s == 2
    assert 0 < Resilience(timeout_s=30).within(0.1).timeout_s < 0.1


# --- counting


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_the_rolling_window_counts_exactly(steps):
    clock, events = Clock(), []
    recent = Recent(5.0, clock)
    for seconds, marked in steps:
        clock.now += seconds
        recent.add(marked=marked)
        events.append((clock.now, marked))
        inside = [one for at, one in events if at > clock.now - 5.0]
        assert (recent.total, recent.marked) == (len(inside), sum(inside))


@given(st.integers(0, 300), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_an_outage_adds_no_more_than_the_share_and_the_minimum(calls, share):
    budget = RetryBudget(share, clock=Clock())
    allowed = 0
    for _ in range(calls):
        budget.deposit()
        allowed += budget.withdraw() + budget.withdraw()
    assert allowed <= share * calls + (MINIMUM if share else 0)
    assert allowed >= min(int(share * calls), calls)
    assert (budget.spent, budget.refused) == (allowed, 2 * calls - allowed)


def test_the_budget_recovers_as_the_window_rolls_on():
    clock = Clock()
    budget = RetryBudget(0.1, window_s=10, clock=clock)
    assert [budget.withdraw() for _ in range(MINIMUM + 1)] == [True] * MINIMUM + [False]
    clock.now += 10
    assert budget.withdraw()


# --- retries


@pytest.mark.parametrize("kind", sorted(FailureKind))
def test_only_what_may_pass_is_asked_again(kind):
    llm = FaultyLLM(kind)
    asyncio.run(Retrying(llm, attempts=3, wait=wait_none())(REQUEST))
    transient = {FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.RATE_LIMITED, FailureKind.SERVER}
    assert llm.calls == (3 if kind in transient else 1)


def test_a_hundred_failing_calls_make_hardly_more_requests_than_calls():
    llm = FaultyLLM(FailureKind.SERVER)
    retrying = Retrying(llm, attempts=3, wait=wait_none(), budget=RetryBudget(0.1, clock=Clock()))

    async def go():
        for _ in range(100):
            await retrying(REQUEST)

    asyncio.run(go())
    assert llm.calls == 100 + retrying.retries
    assert 10 <= retrying.retries <= 10 + MINIMUM


def test_a_retry_that_could_not_end_in_time_is_not_begun():
    async def go(left):
        llm = Steps((0.2, "slow"), (0, FAILURE), (0, "again"))
        retrying = Retrying(llm, attempts=2, wait=wait_none(), budget=RetryBudget(1.0))
        await retrying(REQUEST)
        with time_limit(left, FailureKind.DEADLINE):
            answer = await retrying(REQUEST)
        return isinstance(answer, Reply), llm.calls, retrying.retries

    assert asyncio.run(go(0.15)) == (False, 2, 0)
    assert asyncio.run(go(60)) == (True, 3, 1)


@pytest.mark.parametrize(("left", "calls"), [(5.0, 1), (None, 2)])
def test_a_server_that_asks_to_be_left_alone_for_longer_than_there_is_time_is_not_waited_for(left, calls):
    async def go():
        asked_s = 30.0 if left else 0.01
        llm = Steps((0, Failure(kind=FailureKind.RATE_LIMITED, detail="", retry_after_s=asked_s)), (0, "{}"))
        began = asyncio.get_running_loop().time()
        with time_limit(left, FailureKind.DEADLINE):
            await Retrying(llm, attempts=2)(REQUEST)
        return llm.calls, asyncio.get_running_loop().time() - began

    made, took_s = asyncio.run(go())
    assert made == calls
    assert took_s < 4


# --- hedges


def hedged(*steps, share=1.0, after_s=0.02):
    llm = Steps(*steps)
    return Hedging(llm, after_s=after_s, budget=RetryBudget(share)), llm


def test_a_late_answer_is_overtaken_by_the_second_request_and_cancelled():
    hedging, llm = hedged((None, "late"), (0, "second"))
    assert asyncio.run(hedging(REQUEST)) == Reply(text="second")
    assert (llm.calls, llm.cancelled, hedging.hedges, hedging.won) == (2, 1, 1, 1)


def test_an_answer_in_time_is_asked_for_once():
    hedging, llm = hedged((0, "first"), after_s=30)
    assert asyncio.run(hedging(REQUEST)) == Reply(text="first")
    assert (llm.calls, hedging.hedges) == (1, 0)


def test_a_failure_in_time_is_no_reason_to_hedge():
    hedging, llm = hedged((0, FAILURE), after_s=30)
    assert asyncio.run(hedging(REQUEST)) == FAILURE
    assert llm.calls == 1


def test_a_second_request_that_fails_does_not_win():
    hedging, llm = hedged((0.1, "first"), (0, FAILURE))
    assert asyncio.run(hedging(REQUEST)) == Reply(text="first")
    assert (llm.calls, hedging.won) == (2, 0)


def test_when_both_fail_that_is_a_failure():
    hedging, llm = hedged((0.1, FAILURE), (0, FAILURE))
    assert asyncio.run(hedging(REQUEST)) == FAILURE
    assert (llm.calls, hedging.won) == (2, 0)


def test_hedges_are_paid_from_the_budget_of_the_retries():
    hedging, llm = hedged((0.1, "first"), share=0.0)
    assert asyncio.run(hedging(REQUEST)) == Reply(text="first")
    assert llm.calls == 1


def test_a_caller_who_goes_away_leaves_no_request_behind():
    async def go():
        hedging, llm = hedged((None, ""), (None, ""))
        call = asyncio.create_task(hedging(REQUEST))
        await llm.exhausted.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return call.cancelled(), llm.cancelled

    assert asyncio.run(go()) == (True, 2)
