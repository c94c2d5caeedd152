import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.calibration_error import ece, excess, expected_calibration_error
from evals.smooth import smece

answers = st.lists(st.tuples(st.sampled_from([1 / 3, 0.4, 0.5, 0.7, 0.71, 0.9, 1.0]), st.booleans()), min_size=1, max_size=80)
pairs = answers.map(lambda rows: (np.array([x for x, _ in rows]), np.array([y for _, y in rows])))


def honest(n, rng, spread=3.4):
    """Top-label confidences of softmax scores, and answers that are right as often as they say."""
    logits = spread * rng.normal(size=(n, 3))
    confidence = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    return confidence, rng.random(n) < confidence


@given(st.integers(1, 20).map(lambda tens: 10 * tens), st.integers(0, 10_000))
def test_ece_is_the_gap_of_bins_of_equal_mass(n, seed):
    rng = np.random.default_rng(seed)
    confidence, right = rng.uniform(1 / 3, 1, n), rng.random(n) < 0.7
    parts = np.array_split(np.argsort(confidence), 10)
    gaps = [abs(confidence[part].mean() - right[part].mean()) * len(part) / n for part in parts]
    assert expected_calibration_error(confidence, right) == pytest.approx(sum(gaps))


@given(pairs, st.randoms(use_true_random=False))
def test_order_is_no_matter_ties_included(pair, rng):
    confidence, right = pair
    order = list(range(len(right)))
    rng.shuffle(order)
    assert expected_calibration_error(confidence, right) == pytest.approx(expected_calibration_error(confidence[order], right[order]))


@given(pairs)
def test_ece_lies_between_the_gap_of_the_means_and_one(pair):
    confidence, right = pair
    assert abs(confidence.mean() - right.mean()) - 1e-12 <= expected_calibration_error(confidence, right) <= 1 + 1e-12


@given(pairs, st.lists(st.integers(0, 3), min_size=80, max_size=80))
def test_weighing_a_row_is_repeating_it(pair, times):
    confidence, right = pair
    weights = np.array(times[: len(right)])
    if weights.sum():
        repeated = expected_calibration_error(np.repeat(confidence, weights), np.repeat(right, weights))
        assert expected_calibration_error(confidence, right, weights.astype(float)) == pytest.approx(repeated)


def test_the_limits_are_a_perfect_model_a_constant_one_and_a_boaster():
    right = np.arange(40) < 30
    assert expected_calibration_error(right.astype(float), right) == 0.0
    assert expected_calibration_error(np.full(40, 0.75), right) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error(np.full(40, 0.5), right) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(40), ~right & False) == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "shown"), [(150, 0.061), (300, 0.041), (1000, 0.023)])
def test_a_perfectly_calibrated_model_shows_ece_and_no_excess(n, shown):
    rng = np.random.default_rng(1)
    found = [excess(ece, *honest(n, rng), seed=k, draws=200) for k in range(60)]
    assert np.mean([one.value for one in found]) == pytest.approx(shown, abs=0.005)
    assert np.mean([one.excess for one in found]) == pytest.approx(0.0, abs=0.004)


@pytest.mark.parametrize("error", [ece, smece])
def test_p_rejects_the_truth_about_as_often_as_it_says(error):
    rng = np.random.default_rng(2)
    p = np.array([excess(error, *honest(200, rng), seed=k, draws=200).p for k in range(150)])
    assert 0.01 <= (p <= 0.05).mean() <= 0.11
    assert 0.4 <= (p <= 0.5).mean() <= 0.6


@pytest.mark.parametrize("error", [ece, smece])
def test_a_boaster_is_found_out(error):
    confidence, _ = honest(300, np.random.default_rng(3))
    found = excess(error, confidence, np.random.default_rng(4).random(300) < confidence - 0.2, seed=0)
    assert found.value > found.high > found.expected
    assert found.p == pytest.approx(1 / 1001)


def test_the_same_seed_draws_the_same():
    pair = honest(100, np.random.default_rng(5))
    assert excess(ece, *pair, seed=7) == excess(ece, *pair, seed=7)
    assert excess(ece, *pair, seed=7).expected != excess(ece, *pair, seed=8).expected


def test_many_rows_are_drawn_for_in_groups_to_the_same_end(monkeypatch):
    pair = honest(3000, np.random.default_rng(6))
    each = excess(ece, *pair, seed=0)
    monkeypatch.setattr("evals.calibration_error.EXACT", 100)
    grouped = excess(ece, *pair, seed=0)
    assert grouped.expected == pytest.approx(each.expected, rel=0.05)
    assert grouped.high == pytest.approx(each.high, rel=0.05)


@pytest.mark.parametrize("error", [ece, smece])
@pytest.mark.parametrize("confidence", [0.0, 1 / 3, 1.0])
def test_one_row_is_measured(error, confidence):
    found = excess(error, np.array([confidence]), np.array([True]), seed=0)
    assert 0 <= found.value <= 1
    assert found.n == 1


def test_no_rows_have_no_error():
    none = np.array([])
    assert expected_calibration_error(none, none.astype(bool)) is None
    assert excess(ece, none, none.astype(bool), seed=0) is None
