import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evals.selective import area, augrc, risk_coverage

answers = st.lists(st.tuples(st.sampled_from([0.4, 0.5, 0.7, 0.71, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60)
pairs = answers.map(lambda rows: (np.array([x for x, _ in rows]), np.array([y for _, y in rows])))


@given(pairs)
def test_augrc_is_what_the_paper_derives_from_accuracy_and_auroc(pair):
    confidence, wrong = pair
    accuracy = 1 - wrong.mean()
    auroc = roc_auc_score(~wrong, confidence) if wrong.any() and not wrong.all() else 0.0
    assert augrc(confidence, wrong) == pytest.approx((1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2)


def test_ties_count_as_the_mean_over_their_orders():
    rng = np.random.default_rng(0)
    confidence, wrong = rng.choice([0.5, 0.6, 0.7], size=30), rng.random(30) < 0.4
    broken = [augrc(confidence + rng.uniform(0, 1e-6, size=30), wrong) for _ in range(4000)]
    assert augrc(confidence, wrong) == pytest.approx(np.mean(broken), abs=5e-4)


@given(pairs)
def test_augrc_is_the_area_under_the_generalized_risk(pair):
    confidence, wrong = pair
    fine = np.linspace(1e-9, 1, 6001)
    selective, generalized = risk_coverage(confidence, wrong, fine)
    assert np.trapezoid(generalized, fine) == pytest.approx(augrc(confidence, wrong), abs=1e-3)
    assert selective[-1] == generalized[-1] == pytest.approx(wrong.mean())
    assert (np.diff(generalized) >= -1e-12).all()


def test_the_limits_are_no_error_and_nothing_but_errors():
    confidence = np.linspace(0.4, 1, 20)
    assert augrc(confidence, np.zeros(20, dtype=bool)) == 0.0
    assert augrc(confidence, np.ones(20, dtype=bool)) == pytest.approx(0.5)
    assert augrc(confidence, np.arange(20) < 5) < augrc(confidence, np.arange(20) >= 15)


@given(pairs, st.randoms(use_true_random=False))
def test_order_is_no_matter(pair, rng):
    confidence, wrong = pair
    order = list(range(len(wrong)))
    rng.shuffle(order)
    assert augrc(confidence, wrong) == pytest.approx(augrc(confidence[order], wrong[order]))


def test_weighing_a_level_is_repeating_its_rows():
    confidence, wrong, times = np.array([0.9, 0.6, 0.5]), np.array([False, True, False]), np.array([2, 3, 1])
    repeated = augrc(np.repeat(confidence, times), np.repeat(wrong, times))
    assert area(times[None].astype(float), (times * wrong)[None])[0] == pytest.approx(repeated)


def test_one_row_and_none():
    assert augrc(np.array([0.8]), np.array([True])) == pytest.approx(0.5)
    assert augrc(np.array([]), np.array([], dtype=bool)) is None
    assert np.isnan(risk_coverage(np.array([]), np.array([], dtype=bool), np.array([0.5]))).all()
    assert np.isnan(area(np.zeros((1, 2)), np.zeros((1, 2)))).all()
