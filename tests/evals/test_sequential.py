import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from evals.intervals import proportion
from evals.sequential import RateTest, log_e_above, log_e_below, log_e_mean_above, log_e_outside

COUNTS = st.integers(0, 5000)
BOUNDS = st.floats(0.001, 0.999)
THRESHOLD = math.log(20)  # alpha = .05
NINE_CHECKS = math.log(180)  # alpha = .05 over nine of them


def paths(rng, rate, *, runs, steps):
    """Successes after each step, of shape (runs, steps)."""
    return (rng.random((runs, steps)) < rate).cumsum(axis=1)


def first_alerts(successes, low, high, threshold):
    """The number of outcomes at each run's first alert; one more than all where there was none."""
    n = np.broadcast_to(np.arange(1, successes.shape[1] + 1), successes.shape)
    pairs, where = np.unique(n * (n.max() + 1) + successes, return_inverse=True)  # counts recur: test each pair once
    trials, hits = np.divmod(pairs, n.max() + 1)
    crossed = (log_e_outside(hits, trials - hits, low, high) >= threshold)[where].reshape(successes.shape)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, successes.shape[1] + 1)


@pytest.mark.parametrize(("successes", "failures", "bound"), [(0, 0, 0.3), (3, 1, 0.5), (9, 200, 0.02), (1, 60, 0.1), (40, 3, 0.9)])
def test_the_closed_form_is_the_mixture_it_claims_to_be(successes, failures, bound):
    def density(p):
        return 1 / math.sqrt(p * (1 - p))

    def ratio(p):
        return math.exp(successes * math.log(p / bound) + failures * math.log1p(-p) - failures * math.log1p(-bound)) * density(p)

    mixture = quad(ratio, bound, 1, limit=200)[0] / quad(density, bound, 1, limit=200)[0]
    assert math.exp(log_e_above(successes, failures, bound)) == pytest.approx(mixture, rel=1e-6)


@given(COUNTS, COUNTS, BOUNDS)
def test_at_the_bound_the_next_outcome_is_a_fair_bet_and_below_it_a_losing_one(successes, failures, bound):
    now, hit, miss = log_e_above([successes, successes + 1, successes], [failures, failures, failures + 1], bound)
    assume(min(now, hit, miss) > -np.inf)  # beyond the smallest float
    for rate, fair in ((bound, True), (bound / 2, False)):
        expected = rate * math.exp(hit - now) + (1 - rate) * math.exp(miss - now)
        assert expected == pytest.approx(1, rel=1e-6) if fair else expected < 1 + 1e-6


@given(COUNTS, COUNTS, BOUNDS)
def test_too_few_is_too_many_of_the_other(successes, failures, bound):
    assert log_e_below(successes, failures, bound) == log_e_above(failures, successes, 1 - bound)


@pytest.mark.parametrize(("low", "high", "rate"), [(0, 0.025, 0.025), (0.2, 0.3, 0.3), (0.2, 0.3, 0.2), (0.9, 1, 0.9), (0.5, 0.5, 0.5)])
def test_watching_every_outcome_at_the_bound_rarely_alerts(low, high, rate):
    rng = np.random.default_rng(20261124)
    runs, steps = 4000, 2000
    alerted = first_alerts(paths(rng, rate, runs=runs, steps=steps), low, high, THRESHOLD) <= steps
    assert alerted.mean() < 0.05


def test_a_test_repeated_at_every_look_would_alert_far_more_often():
    """Why an exact binomial test is not simply run after every message."""
    from scipy.stats import binom

    rng = np.random.default_rng(20261124)
    successes = paths(rng, 0.025, runs=500, steps=2000)
    naive = binom.sf(successes - 1, np.arange(1, 2001), 0.025) <= 0.05
    assert naive.any(axis=1).mean() > 0.2


def test_watching_a_mean_at_its_bound_rarely_alerts():
    rng = np.random.default_rng(20261124)
    for values in (2.0 * (rng.random((1000, 1000)) < 0.3), rng.choice([0.1, 1.1], (1000, 1000)), 1.2 * rng.random((1000, 1000))):
        alerted = [log_e_mean_above(run, 0.6, upper=2).max() >= THRESHOLD for run in values]
        assert np.mean(alerted) < 0.05


@pytest.mark.parametrize(("low", "high", "rate"), [(0.0, 0.025, 0.025), (0.2, 0.3, 0.3)])
def test_neither_do_windows_alert_more_often(low, high, rate):
    rng = np.random.default_rng(20261124)
    alerted = [RateTest(low, high).after(list(rng.random(2500) < rate)).peak >= THRESHOLD for _ in range(300)]
    assert np.mean(alerted) < 0.05


def alerts_after(rng, high, rate, *, calm):
    """How many outcomes at a rate it takes to alert one of nine checks, to the next ten, after a calm at a fifth of the bound."""
    test = RateTest(0.0, high).after(list(rng.random(calm) < high / 5))
    assert test.peak < NINE_CHECKS
    while test.peak < NINE_CHECKS and test.n < calm + 4000:
        test = test.after(list(rng.random(10) < rate))
    return test.n - calm


@pytest.mark.parametrize(
    ("seen", "rate", "calm", "median", "most"),  # ``seen`` of 700 evaluated messages
    [
        (0, 0.05, 0, 1000, 2000),  # twice what is allowed, 2.5 %
        (70, 0.20, 0, 800, 1800),  # twice what was seen; 14.5 % are allowed
        (0, 0.10, 0, 150, 250),
        (0, 0.10, 20_000, 250, 450),
        (0, 0.30, 0, 20, 40),  # an outage
        (0, 0.30, 20_000, 50, 80),
    ],
)
def test_a_shift_is_found_after_so_many_messages(seen, rate, calm, median, most):
    rng = np.random.default_rng(20261124)
    found = [alerts_after(rng, proportion(seen, 700).high + 0.02, rate, calm=calm) for _ in range(20)]
    assert np.median(found) <= median
    assert np.quantile(found, 0.9) <= most


def test_a_doubling_that_the_evidence_allows_is_no_alert():
    """2 % of 700 is evidence for up to 3.3 %, and the tolerance makes it 5.3 %: 4 % is no news."""
    rng = np.random.default_rng(20261124)
    high = proportion(14, 700).high + 0.02
    assert all(RateTest(0.0, high).after(list(rng.random(4000) < 0.04)).peak < NINE_CHECKS for _ in range(50))


def test_a_worse_mean_is_found():
    rng = np.random.default_rng(20261124)
    found = [np.argmax(log_e_mean_above(rng.choice([0.1, 1.1], 600), 0.4, upper=2) >= NINE_CHECKS) for _ in range(200)]
    assert min(found) > 0
    assert np.median(found) < 100


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2500), max_size=4))
def test_portions_across_windows_make_no_difference(seed, cuts):
    outcomes = list(np.random.default_rng(seed).random(2500) < 0.32)
    whole, parts = RateTest(0.1, 0.3).after(outcomes), RateTest(0.1, 0.3)
    for start, end in itertools.pairwise([0, *sorted(cuts), 2500]):
        parts = parts.after(outcomes[start:end])
    assert parts == whole


@given(st.lists(st.booleans(), max_size=60), st.randoms(), st.integers(0, 60))
def test_order_and_portions_leave_the_evidence_as_it_is(outcomes, random, cut):
    whole = RateTest(0.1, 0.3).after(outcomes)
    assert RateTest(0.1, 0.3).after(outcomes[:cut]).after(outcomes[cut:]) == whole
    shuffled = random.sample(outcomes, len(outcomes))
    again = RateTest(0.1, 0.3).after(shuffled)
    assert (again.successes, again.n) == (whole.successes, whole.n)
    assert log_e_mean_above([*shuffled, 1], 0.3, upper=1)[-1] == pytest.approx(log_e_mean_above([*outcomes, 1], 0.3, upper=1)[-1])


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_largest_e_value_decides_and_never_falls(outcomes):
    peaks, test = [0.0], RateTest(0.1, 0.3)
    for outcome in outcomes:
        test = test.after([outcome])
        peaks.append(test.peak)
    assert peaks == sorted(peaks)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 0.02), (0.98, 1.0)])
def test_degenerate_inputs_have_an_answer(bounds):
    untouched = RateTest(*bounds)
    assert untouched.after([]) == untouched
    assert untouched.peak == 0
    for outcomes in ([True] * 3000, [False] * 3000):
        test = untouched.after(outcomes)
        assert math.isfinite(test.peak)
        alternative = outcomes[0] != bool(bounds[0]) and bounds != (0.0, 1.0)
        assert (test.peak > 1000) == alternative


def test_a_bound_of_nothing_and_one_of_everything():
    assert log_e_above(0, 5, 0.0) <= 0
    assert log_e_above(1, 5, 0.0) == math.inf
    assert log_e_above(7, 0, 1.0) == 0
    assert log_e_mean_above([2.0, 2.0], 2.0, upper=2).tolist() == [0, 0]
    assert log_e_mean_above([0.0, 0.0], 0.0, upper=2)[-1] <= 0
    assert log_e_mean_above([0.5], 0.0, upper=2)[-1] > 10
    assert len(log_e_mean_above([], 0.5, upper=2)) == 0


def test_too_few_outcomes_to_judge_are_told_from_enough():
    assert not RateTest(0.0, 0.5).after([True] * 3).can_reach(THRESHOLD)
    assert RateTest(0.0, 0.5).after([False] * 30).can_reach(THRESHOLD)
    assert not RateTest(0.0, 1.0).after([True] * 3000).can_reach(THRESHOLD)
