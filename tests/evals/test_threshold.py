import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom
from support import make_scored

from evals.calibrate import fit_bcts, folded
from evals.threshold import ALPHAS, decided_at, price_curve, safety_threshold
from orchestrator.policy import Thresholds
from orchestrator.schema import Category


@pytest.mark.parametrize(
    ("n", "k", "alpha"), [(59, 0, 0.05), (93, 1, 0.05), (96, 1, 0.05), (149, 0, 0.02), (236, 1, 0.02), (299, 0, 0.01), (473, 1, 0.01)]
)
def test_the_threshold_is_the_largest_k_that_the_binomial_allows(n, k, alpha):
    scores = np.linspace(0.01, 0.4, n)
    found = safety_threshold(scores, alpha=alpha, delta=0.05)
    assert found.certified
    assert found.allowed == k
    assert found.value == pytest.approx(scores[k])
    assert binom.cdf(k, n, alpha) <= 0.05 < binom.cdf(k + 1, n, alpha)


def test_too_few_items_certify_nothing():
    few = safety_threshold(np.linspace(0.1, 0.4, 58), alpha=0.05, delta=0.05)
    assert (few.value, few.certified) == (pytest.approx(0.1), False)
    none = safety_threshold(np.array([]), alpha=0.05, delta=0.05)
    assert (none.value, none.certified, none.items) == (0.5, False, 0)


def test_items_that_another_rule_catches_need_nothing_from_the_model():
    found = safety_threshold(np.array([np.inf] * 95 + [0.001]), alpha=0.05, delta=0.05)
    assert found.certified
    assert found.value == 0.5


@given(st.lists(st.floats(0, 0.49), min_size=59, max_size=150), st.randoms())
def test_the_order_of_the_items_does_not_matter(scores, random):
    shuffled = list(scores)
    random.shuffle(shuffled)
    assert safety_threshold(np.array(scores), alpha=0.05, delta=0.05) == safety_threshold(np.array(shuffled), alpha=0.05, delta=0.05)


def test_it_is_the_threshold_that_mapies_learn_then_test_finds():
    rng = np.random.default_rng(1)
    n = 256  # a power of two, so that the package's misses, n times a share, are whole numbers
    scores = rng.beta(6, 2, n)
    grid = np.sort(scores)[:40]  # the candidates: from flagging everything upwards

    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x.ravel(), x.ravel()]),
        risk="recall",
        target_level=0.95,
        confidence_level=0.95,
        list_predict_params=grid,
        fwer_method="fixed_sequence",
        best_predict_param_choice="precision",
    )
    controller.calibrate(scores[:, None], np.ones(n, dtype=int))
    ours = safety_threshold(scores, alpha=0.05, delta=0.05)
    uncapped = np.sort(scores)[ours.allowed]
    assert max(controller.valid_predict_params) == pytest.approx(uncapped)


def test_the_certificate_holds_in_simulation():
    rng = np.random.default_rng(8)
    too_many = 0
    for _ in range(400):
        found = safety_threshold(np.minimum(rng.beta(5, 5, 96), 0.49), alpha=0.05, delta=0.05)
        too_many += (np.minimum(rng.beta(5, 5, 4000), 0.49) < found.value).mean() > 0.05
    assert too_many / 400 <= 0.08  # 5 % is promised; three standard errors above it


def test_the_certificate_holds_when_the_scores_are_out_of_fold_and_the_calibrator_is_refitted():
    """What the pipeline does: cross-fitted scores choose the threshold, a calibrator fitted on all rows makes the scores later."""
    rng = np.random.default_rng(9)
    too_many = trials = 0
    for _ in range(150):
        train, labels = draw(rng, 300)
        seeds = [f"s{i}" for i in range(300)]
        scores = folded(300, seeds, lambda a, b, x=train, y=labels: fit_bcts(x[a], y[a]).apply_rows(x[b]))[labels == 2, 2]
        found = safety_threshold(scores, alpha=0.05, delta=0.05)
        fresh, truth = draw(rng, 4000)
        served = fit_bcts(train, labels).apply_rows(fresh)[truth == 2, 2]
        trials += found.certified
        too_many += found.certified and (served < found.value).mean() > 0.05
    assert trials == 150
    assert too_many / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def draw(rng, n):
    """Rows of a middling model, over-confident and biased."""
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1.2, (n, 3)) + 1.2 * np.eye(3)[labels]
    shares = np.exp(2.0 * logits + np.array([1.0, 0.0, 0.0]))
    return shares / shares.sum(axis=1, keepdims=True), labels


def test_a_row_is_decided_anew_as_it_was():
    row = make_scored(1, Category.SAFETY_COMPLIANCE, routed=True, confidence=0.8)
    at = Thresholds(safety=0.5, local=0.9, degraded=0.5)
    assert decided_at(row, at).routed_as_safety


def test_a_looser_bound_never_flags_more():
    rng = np.random.default_rng(10)
    rows = [
        make_scored(i, Category.INFORMATIONAL if i % 2 else Category.SAFETY_COMPLIANCE, routed=False, confidence=float(c))
        for i, c in enumerate(rng.uniform(0.34, 0.99, 200))
    ]
    thresholds = Thresholds(safety=0.1, local=1.0, degraded=0.5)
    curve = price_curve(rng.beta(2, 2, 150), thresholds, rows, rows, delta=0.05)
    assert [step.threshold.alpha for step in curve] == list(ALPHAS)
    over = [step.over_flag_gate.value for step in curve]
    capture = [step.capture_gate.value for step in curve]
    assert over == sorted(over, reverse=True)
    assert capture == sorted(capture, reverse=True)
