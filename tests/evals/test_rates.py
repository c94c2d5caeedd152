import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from evals import rates
from evals.columns import NO_ANSWER

SAFETY = 2
pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(NO_ANSWER, 2)), min_size=1, max_size=60).map(lambda rows: np.array(rows).T)


@given(pairs)
def test_rates_agree_with_scikit_learn(pair):
    labels, predicted = pair
    assert rates.accuracy(labels, predicted).value == pytest.approx(accuracy_score(labels, predicted))
    table = rates.confusion(labels, predicted)
    assert (table[:, [3, 0, 1, 2]] == confusion_matrix(labels, predicted, labels=[NO_ANSWER, 0, 1, 2])[1:]).all()
    f1 = f1_score(labels, predicted, labels=[0, 1, 2], average="macro", zero_division=0)
    assert float(rates.macro_f1(table)) == pytest.approx(f1)
    if (labels == SAFETY).any():
        recall = recall_score(labels, predicted, labels=[SAFETY], average="macro", zero_division=0)
        assert rates.safety_recall(labels, predicted).value == pytest.approx(recall)
    if (predicted == SAFETY).any():
        precision = precision_score(labels, predicted, labels=[SAFETY], average="macro", zero_division=0)
        assert rates.safety_precision(labels, predicted).value == pytest.approx(precision)


@given(pairs, st.randoms(use_true_random=False))
def test_order_is_no_matter(pair, rng):
    labels, predicted = pair
    order = list(range(len(labels)))
    rng.shuffle(order)
    assert (rates.confusion(labels, predicted) == rates.confusion(labels[order], predicted[order])).all()


def test_capture_counts_what_a_person_sees_as_safety_and_specificity_what_is_spared():
    labels = np.array([SAFETY] * 10 + [0] * 100)
    routed = np.r_[np.arange(10) < 9, np.arange(100) < 25]
    assert rates.safety_capture(labels, routed).value == 0.9
    assert rates.over_flag_rate(labels, routed).value == 0.25
    assert rates.specificity(labels, routed).value == 0.75


def test_a_failure_is_wrong_and_stays_in_every_denominator():
    labels, predicted = np.array([SAFETY, 0]), np.array([NO_ANSWER, 0])
    assert rates.accuracy(labels, predicted).model_dump(include={"value", "n"}) == {"value": 0.5, "n": 2}
    assert rates.safety_recall(labels, predicted).value == 0.0
    assert rates.confusion(labels, predicted)[SAFETY].tolist() == [0, 0, 0, 1]


def test_nothing_is_wide_open_and_not_an_error():
    none, flags = np.array([], dtype=int), np.array([], dtype=bool)
    for found in (rates.accuracy(none, none), rates.safety_recall(none, none), rates.safety_precision(none, none), rates.rate(flags)):
        assert found.model_dump() == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    assert rates.confusion(none, none).sum() == 0
    assert float(rates.macro_f1(rates.confusion(none, none))) == 0.0


def test_macro_f1_of_many_confusion_matrices_is_that_of_each():
    tables = np.random.default_rng(0).integers(0, 5, size=(7, 3, 4))
    assert rates.macro_f1(tables).tolist() == [float(rates.macro_f1(table)) for table in tables]
