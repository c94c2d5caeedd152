import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from evals.calibrate import fit_bcts, fit_calibrator, fold_of, nll, out_of_fold, safety_threshold
from orchestrator.calibration import bcts
from orchestrator.schema import Source


def sample(n, seed, temperature=1.0, bias=(0.0, 0.0, 0.0)):
    """Labels drawn from true probabilities, and the distorted probabilities a model would report."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.7, 0.7, 0.7], size=n)
    labels = np.array([rng.choice(3, p=p) for p in truth])
    logits = np.log(truth) * temperature + np.array(bias)
    reported = np.exp(logits)
    return reported / reported.sum(axis=1, keepdims=True), labels


def seeds(n):
    return [f"s{i:04d}" for i in range(n)]


def fit(probabilities, labels):
    return fit_calibrator(probabilities, labels, seeds(len(labels)), candidate="c", source=Source.LOGPROB)


def test_it_finds_the_temperature_and_the_class_bias():
    probabilities, labels = sample(4000, 1, temperature=2.0, bias=(1.5, -1.0, 0.0))
    temperature, bias = fit_bcts(probabilities, labels)
    assert temperature == pytest.approx(2.0, rel=0.1)
    assert bias == pytest.approx([-0.75, 0.5, 0.0], abs=0.15)


def test_a_biased_model_is_corrected_on_rows_it_was_not_fitted_on():
    calibrator = fit(*sample(300, 2, temperature=2.5, bias=(2.0, 0.0, 0.0)))
    assert calibrator.kind == "bcts"
    fresh, labels = sample(2000, 3, temperature=2.5, bias=(2.0, 0.0, 0.0))
    assert nll(calibrator.apply_rows(fresh), labels) < nll(fresh, labels) - 0.1


def test_what_does_not_help_out_of_fold_is_not_accepted():
    probabilities, labels = sample(300, 4)
    calibrator = fit(probabilities, labels)
    after = nll(out_of_fold(probabilities, labels, seeds(300)), labels)
    assert (calibrator.kind == "bcts") == (after < nll(probabilities, labels))


def test_under_a_hundred_rows_nothing_is_fitted():
    calibrator = fit(*sample(99, 5, temperature=3.0))
    assert calibrator.kind == "identity"
    assert "99 rows" in calibrator.reason


def test_one_class_only_does_not_break_the_fit():
    probabilities, _ = sample(120, 6)
    calibrator = fit(probabilities, np.zeros(120, dtype=int))
    assert np.isfinite(calibrator.temperature)


def test_rows_of_one_seed_share_a_fold():
    folds = fold_of(["s1", "s2", "s1", "s3", "s2"])
    assert folds[0] == folds[2]
    assert folds[1] == folds[4]


@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_calibrated_rows_are_distributions(temperature, a, b):
    probabilities, _ = sample(20, 7)
    rows = bcts(probabilities, temperature, np.array([a, b, 0.0]))
    assert rows.sum(axis=1) == pytest.approx(np.ones(20))
    assert (rows >= 0).all()


@pytest.mark.parametrize(("n", "k"), [(59, 0), (93, 1), (96, 1)])
def test_the_threshold_is_the_largest_k_that_the_binomial_allows(n, k):
    scores = np.linspace(0.01, 0.4, n)
    threshold, certified = safety_threshold(scores, alpha=0.05, delta=0.05)
    assert certified
    assert threshold == pytest.approx(scores[k])
    assert binom.cdf(k, n, 0.05) <= 0.05 < binom.cdf(k + 1, n, 0.05)


def test_too_few_items_certify_nothing():
    assert safety_threshold(np.linspace(0.1, 0.4, 58), alpha=0.05, delta=0.05) == (pytest.approx(0.1), False)
    assert safety_threshold(np.array([]), alpha=0.05, delta=0.05) == (0.5, False)


def test_items_that_another_rule_catches_need_nothing_from_the_model():
    scores = np.array([np.inf] * 95 + [0.001])
    threshold, certified = safety_threshold(scores, alpha=0.05, delta=0.05)
    assert certified
    assert threshold == 0.5


def test_the_certificate_holds_in_simulation():
    rng = np.random.default_rng(8)
    too_many = 0
    for _ in range(400):
        threshold, _ = safety_threshold(np.minimum(rng.beta(5, 5, 96), 0.49), alpha=0.05, delta=0.05)
        too_many += (np.minimum(rng.beta(5, 5, 4000), 0.49) < threshold).mean() > 0.05
    assert too_many / 400 <= 0.08  # 5 % is promised; three standard errors above it
