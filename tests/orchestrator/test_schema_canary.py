"""The canary tells servers that hold replies to the schema from those that do not, and holds up nothing."""

import asyncio
import logging
import os
import time

import pytest

from orchestrator.catalogue import find_model
from orchestrator.connect import open_chat, open_resilient_llm
from orchestrator.resilience import Resilience
from orchestrator.schema_canary import Finding, SchemaCanary
from orchestrator.testing import Toxic, misbehaving_upstream

MODEL = find_model("smollm2-135m")
WITHOUT_LOGPROBS = find_model("gpt-6-luna")
EMBEDDED = {name: value for name, value in os.environ.items() if name != "LLM_BASE_URL"}


def found(environment, model=MODEL, *, within_s=30.0) -> Finding:
    async def go():
        async with open_chat(model, environment) as chat:
            return await SchemaCanary(chat, model, within_s=within_s).look()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("toxic", "finding", "calls"),
    [
        (Toxic.OK, Finding.OK, 1),
        (Toxic.IGNORES_SCHEMA, Finding.IGNORES_SCHEMA, 2),
        (Toxic.WRONG_SCHEMA, Finding.IGNORES_SCHEMA, 2),
        (Toxic.TRUNCATION, Finding.IGNORES_SCHEMA, 2),
        (Toxic.NO_LOGPROBS, Finding.NO_LOGPROBS, 2),
        (Toxic.UNAUTHORISED, Finding.REFUSED, 2),
        (Toxic.QUOTA, Finding.REFUSED, 2),
        (Toxic.SERVER_ERROR, Finding.UNREACHABLE, 2),
        (Toxic.RESET, Finding.UNREACHABLE, 2),
    ],
)
def test_it_finds_what_the_server_does_and_the_log_says_it(toxic, finding, calls, caplog):
    caplog.set_level(logging.INFO, "orchestrator.schema_canary")
    with misbehaving_upstream(toxic) as upstream:
        assert found({"LLM_BASE_URL": upstream.base_url}) is finding
        assert upstream.calls == calls
    (record,) = caplog.records
    assert finding.value in record.getMessage()
    assert record.levelno == (logging.INFO if finding is Finding.OK else logging.WARNING)


def test_one_bad_answer_is_no_finding():
    script = [Toxic.SERVER_ERROR, Toxic.OK]
    with misbehaving_upstream(lambda number: script[number]) as upstream:
        assert found({"LLM_BASE_URL": upstream.base_url}) is Finding.OK


def test_log_probabilities_are_not_missed_where_the_model_gives_none():
    with misbehaving_upstream() as upstream:
        assert found({"LLM_BASE_URL": upstream.base_url}, WITHOUT_LOGPROBS) is Finding.OK


def test_a_server_that_hangs_is_unreachable_within_the_bound():
    with misbehaving_upstream(Toxic.HANG) as upstream:
        assert found({"LLM_BASE_URL": upstream.base_url}, within_s=0.1) is Finding.UNREACHABLE


def test_the_embedded_model_holds_to_the_schema_and_gives_log_probabilities():
    assert found(EMBEDDED, within_s=300) is Finding.OK  # half a second, but on a machine that does much else


def test_a_start_waits_for_nothing_and_an_end_neither():
    async def go(upstream):
        began = time.monotonic()
        async with open_resilient_llm(MODEL, {"LLM_BASE_URL": upstream.base_url}, Resilience(canary=True)) as llm:
            assert llm.canary.finding is Finding.PENDING
            await asyncio.to_thread(upstream.wait_for, lambda one: one.calls == 1)
        return time.monotonic() - began

    with misbehaving_upstream(Toxic.HANG) as upstream:
        assert asyncio.run(go(upstream)) < 10


def test_what_the_canary_finds_is_not_held_against_the_llm():
    async def go(upstream):
        async with open_resilient_llm(MODEL, {"LLM_BASE_URL": upstream.base_url}, Resilience(canary=True, breaker_min_calls=1)) as llm:
            await asyncio.to_thread(upstream.wait_for, lambda one: one.calls == 2 and one.under_way == 0)
            return llm.breaker.opened_total

    with misbehaving_upstream(Toxic.SERVER_ERROR) as upstream:
        assert asyncio.run(go(upstream)) == 0
