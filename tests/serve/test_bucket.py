import math
import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serve.limits.bucket import DROPPED_AT_ONCE, Buckets


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def buckets(clock):
    return Buckets(clock)


class Modelled(RuleBasedStateMachine):
    """Against the plainest model there is: levels as fractions, all of them kept."""

    @initialize(quotas=st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 20)), min_size=1, max_size=4))
    def begin(self, quotas):
        self.clock = Clock()
        self.buckets = Buckets(self.clock)
        self.quotas = quotas
        self.levels = [Fraction(burst) for _, burst in quotas]
        self.last_wait_us = 1

    @rule(who=st.integers(0, 3), tokens=st.integers(1, 21))
    def take(self, who, tokens):
        who %= len(self.quotas)
        per_minute, burst = self.quotas[who]
        taken = self.buckets.take_now(str(who), tokens, per_minute=per_minute, burst=burst)
        rate = Fraction(per_minute, 60_000_000)  # tokens a microsecond
        assert taken.allowed == (self.levels[who] >= tokens)
        if taken.allowed:
            self.levels[who] -= tokens
            assert taken.retry_after_s == 0
        elif tokens > burst:
            assert taken.retry_after_s == math.inf
        else:
            self.last_wait_us = math.ceil((tokens - self.levels[who]) / rate)
            assert taken.retry_after_s == self.last_wait_us / 1e6
        assert taken.remaining == math.floor(self.levels[who])
        more_us = 0 if self.levels[who] == burst else math.ceil((taken.remaining + 1 - self.levels[who]) / rate)
        assert taken.more_in_s == more_us / 1e6

    @rule(microseconds=st.one_of(st.integers(0, 10), st.integers(0, 120_000_000)))
    def pass_time(self, microseconds):
        self.clock.now_us += microseconds
        for who, (per_minute, burst) in enumerate(self.quotas):
            self.levels[who] = min(Fraction(burst), self.levels[who] + Fraction(microseconds * per_minute, 60_000_000))

    @rule(less=st.integers(0, 1))
    def wait_as_told(self, less):
        self.pass_time(max(0, self.last_wait_us - less))

    @invariant()
    def every_bucket_that_is_not_full_is_kept(self):
        if hasattr(self, "levels"):
            assert len(self.buckets) >= sum(level < burst for level, (_, burst) in zip(self.levels, self.quotas, strict=True))


TestModelled = Modelled.TestCase
TestModelled.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def test_it_is_exact_for_ten_thousand_clients_at_once(buckets, clock):
    clients = [f"client {number}" for number in range(10_000)]
    order = random.Random(7)
    for _ in range(5):
        order.shuffle(clients)
        assert all(buckets.take_now(client, per_minute=60, burst=5).allowed for client in clients)
        clock.now_us += 10
    assert not any(buckets.take_now(client, per_minute=60, burst=5).allowed for client in clients)
    clock.now_us += 1_000_000  # a token's time: one more for each, and only one
    for expected in (True, False):
        assert all(buckets.take_now(client, per_minute=60, burst=5).allowed is expected for client in clients)


def test_memory_is_that_of_the_buckets_that_are_not_full(buckets, clock):
    for number in range(1000):
        buckets.take_now(f"client {number}", per_minute=60, burst=5)
    assert len(buckets) == 1000
    clock.now_us += 1_000_000
    sizes = [len(buckets)]
    while sizes[-1] > 1:
        buckets.take_now("another", per_minute=60, burst=10_000)
        sizes.append(len(buckets))
    assert len(sizes) <= 1000 / (DROPPED_AT_ONCE - 1) + 2
    assert all(before - after <= DROPPED_AT_ONCE for before, after in pairwise(sizes)), "no take does a long scan"


def test_clients_that_come_once_each_do_not_fill_the_memory(buckets, clock):
    for number in range(20_000):
        buckets.take_now(f"client {number}", per_minute=60, burst=5)
        clock.now_us += 10_000  # a token comes back in a second: that of the last hundred clients is missing
    assert len(buckets) <= 102


@given(per_minute=st.integers(1, 100_000), burst=st.integers(1, 50), tokens=st.integers(1, 50), passed=st.integers(0, 10**8))
@settings(deadline=None)
def test_waiting_exactly_as_long_as_told_succeeds_and_a_microsecond_less_does_not(per_minute, burst, tokens, passed):
    clock, quota = Clock(), {"per_minute": per_minute, "burst": burst}
    tokens = min(tokens, burst)
    buckets = Buckets(clock)
    buckets.take_now("a", burst, **quota)
    clock.now_us += passed
    refused = buckets.take_now("a", tokens, **quota)
    if refused.allowed:
        return
    wait_us = round(refused.retry_after_s * 1e6)
    clock.now_us += wait_us - 1
    assert not buckets.take_now("a", tokens, **quota).allowed
    clock.now_us += 1
    assert buckets.take_now("a", tokens, **quota).allowed


def test_more_than_the_bucket_holds_is_never_given_and_takes_nothing(buckets):
    taken = buckets.take_now("a", 6, per_minute=60, burst=5)
    assert taken == (False, math.inf, 5, 0.0)
    assert buckets.take_now("a", 5, per_minute=60, burst=5).allowed


def test_a_clock_that_goes_back_gives_nothing_and_stops_nothing(buckets, clock):
    assert buckets.take_now("a", 5, per_minute=60, burst=5).allowed
    clock.now_us -= 500_000
    assert buckets.take_now("a", per_minute=60, burst=5).retry_after_s == 1.0
    clock.now_us += 1_000_000
    assert buckets.take_now("a", per_minute=60, burst=5).allowed


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"per_minute": 0}, {"burst": 0}])
def test_a_bucket_without_tokens_is_a_bug_of_ours(buckets, wrong):
    with pytest.raises(ValueError, match="1 or more"):
        buckets.take_now("a", **{"tokens": 1, "per_minute": 60, "burst": 5} | wrong)
