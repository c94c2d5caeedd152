import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.budget import Budgeted, worst_usd
from orchestrator.catalogue import find_model
from orchestrator.llm import Reply, Request, Turn
from orchestrator.schema import Failure, FailureKind, Usage

MODEL = find_model("gpt-4o-mini")


def request(text="hello", max_tokens=16):
    return Request(model="m", model_digest="d", turns=(Turn(role="user", content=text),), answer_schema={}, max_tokens=max_tokens)


class Priced:
    """Uses a share of what a call may use at worst, or fails; ``spent`` is what a provider would bill."""

    def __init__(self, share=1.0, kind=None):
        self.share, self.kind, self.spent, self.calls = share, kind, 0.0, 0

    async def __call__(self, asked, /):
        self.calls += 1
        await asyncio.sleep(0)
        if self.kind:
            return Failure(kind=self.kind, detail="")
        worst = worst_usd(asked, MODEL) * 1e6
        usage = Usage(input_tokens=int(worst * self.share / MODEL.input))
        self.spent += MODEL.cost_usd(usage)
        return Reply(text="{}", usage=usage)


def drive(llm, requests):
    async def go():
        return await asyncio.gather(*(llm(one) for one in requests))

    return asyncio.run(go())


@settings(max_examples=50)
@given(st.floats(0.01, 1.0), st.integers(1, 30), st.floats(0.1, 20))
def test_the_cap_is_never_exceeded(share, n, calls_worth):
    server = Priced(share)
    cap = worst_usd(request(), MODEL) * calls_worth
    budget = Budgeted(server, MODEL, max_usd=cap)
    answers = drive(budget, [request()] * n)
    assert server.spent <= cap + 1e-12
    assert budget.spent_usd == pytest.approx(server.spent)
    refused = [answer for answer in answers if isinstance(answer, Failure)]
    assert all(answer.kind == FailureKind.QUOTA for answer in refused)
    assert server.calls + len(refused) == n


def test_what_fits_is_asked_and_the_refusal_says_what_was_spent():
    worst = worst_usd(request(), MODEL)
    server = Priced(1.0)
    answers = drive(Budgeted(server, MODEL, max_usd=3.5 * worst), [request()] * 5)
    assert server.calls == 3
    (first, *_) = [answer for answer in answers if isinstance(answer, Failure)]
    assert "of the cap of" in first.detail
    assert "--max-usd" in first.detail


def test_a_cheap_reply_frees_its_reserve_for_the_next():
    server = Priced(0.01)
    drive(Budgeted(server, MODEL, max_usd=1.2 * worst_usd(request(), MODEL)), [request()] * 10)
    assert server.calls == 10


def test_a_call_whose_cost_never_came_is_taken_at_its_worst():
    worst = worst_usd(request(), MODEL)
    lost = Budgeted(Priced(kind=FailureKind.TIMEOUT), MODEL, max_usd=2.5 * worst)
    drive(lost, [request()] * 5)
    assert lost.spent_usd == lost.unknown_usd == pytest.approx(2 * worst)
    unbilled = Priced(kind=FailureKind.RATE_LIMITED)
    drive(Budgeted(unbilled, MODEL, max_usd=2.5 * worst), [request()] * 5)
    assert unbilled.calls == 5


@given(st.text(min_size=1, max_size=300))
def test_the_worst_price_bounds_any_text(text):
    assert worst_usd(request(text), MODEL) >= MODEL.cost_usd(
        Usage(input_tokens=len(text.encode("utf-8", "surrogatepass")), output_tokens=16)
    )
