"""Never unanswered: what becomes of messages while the LLM's server misbehaves, through the real client, workflows and store."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text

from orchestrator.breaker import State
from orchestrator.catalogue import find_model
from orchestrator.connect import open_chat, open_classifier, open_orchestrator, open_resilient_llm
from orchestrator.deadline import Punctual
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.release import load_release
from orchestrator.resilience import Resilience, ResilientLLM
from orchestrator.schema import FailureKind, Message
from orchestrator.schema_canary import Finding
from orchestrator.store.ledger import Ledger
from orchestrator.testing import FaultyLLM, Toxic, misbehaving_upstream
from orchestrator.workflows.service_action import LocalOrders

SLACK_S = 2.0  # two loaded cores; the benchmark holds the figure
HELLO = Message(text="what are your opening hours?")
MODEL = find_model(load_release().manifest.model)
NOBODY = "http://no-such-host.invalid/v1"  # RFC 6761: it never resolves


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """An orchestrator on whose LLM nothing depends: making one takes longer than a test."""
    ledger = Ledger.at(f"sqlite:///{tmp_path_factory.mktemp('resilience')}/r.db", {})
    release = load_release()
    classifier = open_classifier(release, FaultyLLM(FailureKind.SERVER))
    yield Orchestrator(release.manifest.id, classifier, standard_workflows(LocalOrders({})), ledger)
    ledger.close()


@asynccontextmanager
async def opened(parts, url, how=None, *, connections=100):
    """The orchestrator with the resilient LLM of a server."""
    environment = {"LLM_BASE_URL": url, "LLM_API_KEY": "s"}
    async with open_resilient_llm(MODEL, environment, how or Resilience(), connections=connections) as llm:
        yield replace(parts, classifier=replace(parts.classifier, llm=Punctual(llm)))


def recorded(parts, outcomes) -> bool:
    with parts.ledger.engine.connect() as connection:
        known = set(connection.execute(text("SELECT request_id FROM interactions")).scalars())
    return {outcome.request_id for outcome in outcomes} <= known


def kind(outcome):
    return outcome.classification.failure and outcome.classification.failure.kind


FATE = {  # which failure a message meets, and how many requests at most are made for it with two attempts
    Toxic.OK: (None, 1), Toxic.SLICER: (None, 1),
    Toxic.HANG: (FailureKind.DEADLINE, 1), Toxic.DRIP: (FailureKind.DEADLINE, 1), Toxic.SLOW_CLOSE: (FailureKind.DEADLINE, 1),
    Toxic.RESET: (FailureKind.CONNECTION, 2), Toxic.HALF_BODY: (FailureKind.CONNECTION, 2),
    Toxic.SERVER_ERROR: (FailureKind.SERVER, 2), Toxic.WRONG_BODY: (FailureKind.SERVER, 2), Toxic.GARBAGE: (FailureKind.SERVER, 2),
    Toxic.RATE_LIMITED: (FailureKind.RATE_LIMITED, 1),  # it asks for more time than there is
    Toxic.QUOTA: (FailureKind.QUOTA, 1), Toxic.UNAUTHORISED: (FailureKind.REJECTED, 1),
    Toxic.REFUSAL: (FailureKind.REFUSED, 1), Toxic.TRUNCATION: (FailureKind.TRUNCATED, 1),
    Toxic.WRONG_SCHEMA: (FailureKind.UNPARSABLE, 1), Toxic.IGNORES_SCHEMA: (FailureKind.UNPARSABLE, 1),
    Toxic.NO_LOGPROBS: (FailureKind.UNPARSABLE, 1),
}  # fmt: skip


@pytest.mark.parametrize("toxic", sorted(Toxic))
def test_whatever_the_server_does_the_message_is_answered_in_time_and_recorded(toxic, parts):
    failure, most_calls = FATE[toxic]
    deadline_s = 0.4 if failure is FailureKind.DEADLINE else 3.0

    async def go(upstream):
        async with opened(parts, upstream.base_url) as orchestrator:
            began = time.monotonic()
            return await orchestrator.handle(HELLO, deadline_s=deadline_s), time.monotonic() - began

    with misbehaving_upstream(toxic, retry_after_s=30) as upstream:
        outcome, took_s = asyncio.run(go(upstream))
        assert kind(outcome) == failure
        assert outcome.classification.degraded == (failure is not None)
        assert took_s <= deadline_s + SLACK_S
        assert 1 <= upstream.calls <= most_calls
        assert upstream.key == "s"
    assert recorded(parts, [outcome])


@pytest.mark.parametrize("url", [NOBODY, "http://127.0.0.1:1/v1"])
def test_a_server_that_is_not_there_is_no_reason_to_wait(url, parts):
    async def go():
        async with opened(parts, url) as orchestrator:
            began = time.monotonic()
            return await orchestrator.handle(HELLO, deadline_s=3.0), time.monotonic() - began

    outcome, took_s = asyncio.run(go())
    assert kind(outcome) in {FailureKind.CONNECTION, FailureKind.DEADLINE}  # a name server may be slow to say no
    assert outcome.classification.degraded
    assert took_s <= 3.0 + SLACK_S


def test_without_a_deadline_the_llms_own_timeout_bounds_a_message(parts):
    async def go(upstream):
        async with opened(parts, upstream.base_url, Resilience(timeout_s=0.2)) as orchestrator:
            return await orchestrator.handle(HELLO)

    with misbehaving_upstream(Toxic.DRIP) as upstream:
        assert kind(asyncio.run(go(upstream))) == FailureKind.TIMEOUT
        assert upstream.calls == 1


def test_one_failure_is_mended_by_the_retry(parts):
    script = [Toxic.RESET, Toxic.OK]

    async def go(upstream):
        async with opened(parts, upstream.base_url) as orchestrator:
            outcome = await orchestrator.handle(HELLO)
            return outcome, orchestrator.llm.retrying.retries, orchestrator.llm.budget.spent

    with misbehaving_upstream(lambda number: script[number]) as upstream:
        outcome, retries, spent = asyncio.run(go(upstream))
    assert not outcome.classification.degraded
    assert (retries, spent) == (1, 1)


def test_a_late_answer_is_overtaken_by_a_hedge(parts):
    script = [Toxic.HANG, Toxic.OK]

    async def go(upstream):
        async with opened(parts, upstream.base_url, Resilience(hedge_s=0.05)) as orchestrator:
            return await orchestrator.handle(HELLO), orchestrator.llm.hedging.won

    with misbehaving_upstream(lambda number: script[number]) as upstream:
        outcome, won = asyncio.run(go(upstream))
        assert not outcome.classification.degraded
        assert won == 1
        upstream.wait_for(lambda one: one.under_way == 0)  # the loser was cancelled


def test_with_the_llm_down_the_breaker_opens_the_calls_stop_and_everybody_is_answered(parts):
    async def go(upstream):
        how = Resilience(breaker_min_calls=5, breaker_open_s=3600, retry_share=0.0)
        async with opened(parts, upstream.base_url, how) as orchestrator:
            outcomes = [await orchestrator.handle(HELLO, deadline_s=5) for _ in range(40)]
            return outcomes, orchestrator.llm.breaker

    with misbehaving_upstream(Toxic.SERVER_ERROR) as upstream:
        outcomes, breaker = asyncio.run(go(upstream))
        assert upstream.calls == 5
    assert (breaker.state, breaker.opened_total) == (State.OPEN, 1)
    assert all(outcome.classification.degraded for outcome in outcomes)
    assert [kind(outcome) for outcome in outcomes] == [FailureKind.SERVER] * 5 + [FailureKind.BREAKER_OPEN] * 35
    assert recorded(parts, outcomes)


@pytest.mark.parametrize("healthy", [True, False])
def test_a_hundred_messages_at_a_half_open_breaker_are_one_request_to_the_server(healthy, parts):
    now = [0.0]

    async def go(upstream):
        how = Resilience(breaker_min_calls=1, breaker_open_s=5)
        async with open_chat(MODEL, {"LLM_BASE_URL": upstream.base_url}, connections=100) as chat:
            llm = ResilientLLM(chat, how, clock=lambda: now[0])
            orchestrator = replace(parts, classifier=replace(parts.classifier, llm=Punctual(llm)))
            await orchestrator.handle(HELLO)
            assert llm.breaker.state is State.OPEN
            now[0] += 5
            before, upstream.latency_s = upstream.calls, 0.5
            upstream.toxic = Toxic.OK if healthy else Toxic.SERVER_ERROR
            outcomes = await asyncio.gather(*(orchestrator.handle(HELLO) for _ in range(100)))
            return outcomes, upstream.calls - before, llm.breaker.state

    with misbehaving_upstream(Toxic.SERVER_ERROR) as upstream:
        outcomes, calls, state = asyncio.run(go(upstream))
    assert calls == 1
    assert sum(not outcome.classification.degraded for outcome in outcomes) == healthy
    assert state is (State.CLOSED if healthy else State.OPEN)


def hang(parts, how, act):
    """What the breaker says after twenty messages at a server that hangs, of each of which ``act`` makes an end."""

    async def go(upstream):
        async with opened(parts, upstream.base_url, how) as orchestrator:
            await act(orchestrator, upstream)
            return orchestrator.llm.breaker.opened_total

    with misbehaving_upstream(Toxic.HANG) as upstream:
        opened_total = asyncio.run(go(upstream))
        upstream.wait_for(lambda one: one.under_way == 0)  # nothing is left behind
    return opened_total


async def all_wait(orchestrator, _, *, deadline_s=0.5):
    outcomes = await asyncio.gather(*(orchestrator.handle(HELLO, deadline_s=deadline_s) for _ in range(20)))
    assert all(outcome.classification.degraded for outcome in outcomes)


async def all_go_away(orchestrator, upstream):
    calls = [asyncio.create_task(orchestrator.handle(HELLO, deadline_s=60)) for _ in range(20)]
    await asyncio.to_thread(upstream.wait_for, lambda one: one.under_way == 20)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


def test_clients_in_a_hurry_do_not_open_the_breaker(parts):
    assert hang(parts, Resilience(breaker_min_calls=5), all_wait) == 0


def test_clients_who_go_away_do_not_open_the_breaker(parts):
    assert hang(parts, Resilience(breaker_min_calls=5), all_go_away) == 0


def test_an_llm_that_hangs_until_its_own_timeout_opens_the_breaker(parts):
    assert hang(parts, Resilience(breaker_min_calls=5, timeout_s=0.3), partial(all_wait, deadline_s=30)) == 1


def test_connections_that_hung_are_free_again(parts):
    async def go(upstream):
        async with opened(parts, upstream.base_url, connections=4) as orchestrator:
            await asyncio.gather(*(orchestrator.handle(HELLO, deadline_s=0.3) for _ in range(12)))
            upstream.toxic = Toxic.OK
            return await asyncio.gather(*(orchestrator.handle(HELLO, deadline_s=20) for _ in range(12)))

    with misbehaving_upstream(Toxic.HANG) as upstream:
        outcomes = asyncio.run(go(upstream))
        assert upstream.peak <= 4
    assert not any(outcome.classification.degraded for outcome in outcomes)


def test_a_deadline_that_has_passed_asks_nobody_and_is_answered(parts):
    async def go(upstream):
        async with opened(parts, upstream.base_url) as orchestrator:
            return await orchestrator.handle(HELLO, deadline_s=0.01)

    with misbehaving_upstream() as upstream:
        assert kind(asyncio.run(go(upstream))) == FailureKind.DEADLINE
        assert upstream.calls == 0


def test_the_whole_is_put_together_as_the_service_opens_it(tmp_path):
    async def go(upstream):
        how = Resilience(attempts=1, breaker_min_calls=2, canary=True)
        environment = {"LLM_BASE_URL": upstream.base_url}
        opening = open_orchestrator(load_release(), environment, database_url=f"sqlite:///{tmp_path}/o.db", resilience=how)
        async with opening as orchestrator:
            good = await orchestrator.handle(HELLO, deadline_s=20)
            await asyncio.to_thread(upstream.wait_for, lambda one: one.calls >= 2 and one.under_way == 0)
            upstream.toxic = Toxic.SERVER_ERROR
            bad = [await orchestrator.handle(HELLO, deadline_s=20) for _ in range(3)]
            return good, bad, orchestrator.llm.canary.finding

    with misbehaving_upstream() as upstream:
        good, bad, finding = asyncio.run(go(upstream))
    assert not good.classification.degraded
    assert [kind(outcome) for outcome in bad] == [FailureKind.SERVER, FailureKind.BREAKER_OPEN, FailureKind.BREAKER_OPEN]
    assert finding is Finding.OK
