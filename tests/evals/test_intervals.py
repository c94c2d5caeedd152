import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from evals.intervals import lower_bound, mcnemar_worse, proportion, proportions, tango_lower


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_agrees_with_statsmodels(counts):
    k, n = counts
    low, high = proportion_confint(k, n, alpha=0.05, method="beta")
    ours = proportion(k, n)
    assert ours.low == pytest.approx(0.0 if math.isnan(low) else low, abs=1e-9)
    assert ours.high == pytest.approx(1.0 if math.isnan(high) else high, abs=1e-9)


@given(st.lists(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=10))
def test_many_proportions_at_once_are_those_of_each(counts):
    found = proportions([k for k, _ in counts], [n for _, n in counts])
    for (k, n), estimate in zip(counts, found, strict=True):
        assert estimate.model_dump() == pytest.approx(proportion(k, n).model_dump())


def test_nothing_measured_is_wide_open():
    assert proportion(0, 0).model_dump() == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


@pytest.mark.parametrize(("n", "recall"), [(59, 0.95), (149, 0.98), (299, 0.99)])
def test_zero_misses_certify_what_they_certify(n, recall):
    assert lower_bound(n, n) >= recall
    assert lower_bound(n - 1, n - 1) < recall


@pytest.mark.parametrize(("n", "recall"), [(93, 0.95), (236, 0.98), (473, 0.99)])
def test_one_miss_needs_more(n, recall):
    assert lower_bound(n - 1, n) >= recall
    assert lower_bound(n - 2, n - 1) < recall


@given(st.integers(0, 40), st.integers(1, 40))
def test_clopper_pearsons_lower_bound_agrees_with_statsmodels(k, more):
    n = k + more
    low, _ = proportion_confint(k, n, alpha=0.10, method="beta")
    assert lower_bound(k, n) == pytest.approx(0.0 if k == 0 else low, abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_the_exact_binomial(gained, lost):
    if gained + lost:
        assert mcnemar_worse(gained, lost) == pytest.approx(binomtest(lost, gained + lost, alternative="greater").pvalue)
    else:
        assert mcnemar_worse(0, 0) == 1.0


@given(st.integers(0, 60), st.integers(1, 60))
def test_mcnemar_is_half_of_statsmodels_two_sided_when_candidate_is_worse(gained, more):
    lost = gained + more
    assert 2 * mcnemar_worse(gained, lost) == pytest.approx(mcnemar([[0, gained], [lost, 0]], exact=True).pvalue)


def test_tango_gives_the_published_interval():
    assert tango_lower(1, 7, 21, confidence=0.975) == pytest.approx(-0.517, abs=5e-4)
    assert -tango_lower(7, 1, 21, confidence=0.975) == pytest.approx(-0.026, abs=5e-4)


@settings(max_examples=25)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_at_tangos_bound_the_score_of_the_constrained_likelihood_is_the_normal_quantile(gained, lost, rest):
    n = gained + lost + rest
    bound = tango_lower(gained, lost, n)

    def loss(p_lost):
        cells = np.array([p_lost + bound, p_lost, 1 - 2 * p_lost - bound])
        return -np.sum(np.array([gained, lost, rest]) * np.log(np.maximum(cells, 1e-300)))

    q = minimize_scalar(loss, bounds=(max(0.0, -bound), (1 - bound) / 2), method="bounded", options={"xatol": 1e-12}).x
    score = (gained - lost - n * bound) / math.sqrt(n * (2 * q + bound * (1 - bound)))
    assert score == pytest.approx(norm.ppf(0.95), rel=1e-3)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
def test_tango_lies_below_the_estimate_and_above_minus_one(gained, lost, rest):
    n = gained + lost + rest
    if n:
        assert -1 <= tango_lower(gained, lost, n) <= (gained - lost) / n


def test_without_any_difference_more_rows_certify_more():
    bounds = [tango_lower(0, 0, n) for n in (50, 126, 300)]
    assert bounds == sorted(bounds)
    assert tango_lower(0, 0, 126) > -0.03
    assert tango_lower(0, 0, 0) == -1.0
