import asyncio

import pytest
from asgi_calls import call

from serve.limits.deadline import Deadline, RequestDeadline


class Clock:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def ask(clock, *values, longest_s=30.0):
    """What a request with these headers is answered, and the deadline the application saw."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["state"]["deadline"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    headers = [("X-Request-Deadline", value) for value in values]
    answer = asyncio.run(call(RequestDeadline(app, longest_s=longest_s, clock=clock), headers=headers, request_id="r1"))
    return answer, seen[0] if seen else None


@pytest.mark.parametrize(
    ("asked", "left_s"),
    [((), 30), (("2.5",), 2.5), (("2",), 2), (("0.1",), 0.1), ((" 7 ",), 7), (("1000000",), 30), (("0.30000000000000004",), 0.3)],
)
def test_a_request_has_the_time_it_asks_for_and_never_more_than_the_services(clock, asked, left_s):
    answer, deadline = ask(clock, *asked)
    assert answer.status == 200
    assert deadline.left_s() == pytest.approx(left_s)


def test_a_deadline_runs_from_the_arrival_and_goes_below_zero(clock):
    _, deadline = ask(clock, "2.5")
    clock.now += 2
    assert deadline.left_s() == pytest.approx(0.5)
    clock.now += 1
    assert deadline.left_s() == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "wrong", ["", "soon", "nan", "inf", "1e3", "1,5", "0x10", "1.", ".5", "+1", "--1", "1 2", "2026-11-27T00:00:00Z", "9" * 13]
)
def test_what_is_no_decimal_number_is_a_400_that_shows_one(clock, wrong):
    answer, deadline = ask(clock, wrong)
    assert (answer.status, deadline) == (400, None)
    assert "X-Request-Deadline: the seconds left as one decimal number, such as 2.5" in answer.problem["detail"]


def test_two_deadlines_are_none(clock):
    assert ask(clock, "1", "2")[0].status == 400


@pytest.mark.parametrize("passed", ["0", "0.0", "-0.2", "-17"])
def test_a_deadline_that_has_passed_is_a_504_at_once_and_nothing_is_done(clock, passed):
    answer, deadline = ask(clock, passed)
    assert (answer.status, deadline) == (504, None)
    assert "nothing was done" in answer.problem["detail"]


def test_it_counts_on_a_clock_that_nobody_sets():
    deadline = Deadline(5.0)
    assert 0 < deadline.left_s() <= 5.0
