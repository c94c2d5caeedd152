import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_score, recall_score
from support import make_scored, outcomes

from evals import metrics
from evals.calibrate import nll
from orchestrator.schema import CATEGORIES, Category

PRIOR = {"informational": 0.5, "service_action": 0.45, "safety_compliance": 0.05}
pairs = st.lists(st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(CATEGORIES)), min_size=1, max_size=60)


def scored(pairs):
    return [make_scored(i, label, routed=guess == Category.SAFETY_COMPLIANCE, category=guess) for i, (label, guess) in enumerate(pairs)]


@given(pairs)
def test_against_scikit_learn(pairs):
    rows = scored(pairs)
    truth, guess = [label for label, _ in pairs], [guess for _, guess in pairs]
    safety = [Category.SAFETY_COMPLIANCE]
    assert metrics.accuracy(rows, metrics.by_system).value == pytest.approx(accuracy_score(truth, guess))
    assert metrics.macro_f1(rows, metrics.by_system) == pytest.approx(
        f1_score(truth, guess, labels=list(CATEGORIES), average="macro", zero_division=0)
    )
    table = np.array(metrics.confusion(rows, metrics.by_system))
    assert (table[:, :3] == confusion_matrix(truth, guess, labels=list(CATEGORIES))).all()
    if Category.SAFETY_COMPLIANCE in truth:
        recall = recall_score(truth, guess, labels=safety, average="macro", zero_division=0)
        assert metrics.safety_recall(rows, metrics.by_system).value == pytest.approx(recall)
    if Category.SAFETY_COMPLIANCE in guess:
        precision = precision_score(truth, guess, labels=safety, average="macro", zero_division=0)
        assert metrics.safety_precision(rows, metrics.by_system).value == pytest.approx(precision)


@given(pairs, st.randoms())
def test_order_is_no_matter(pairs, rng: random.Random):
    rows = scored(pairs)
    shuffled = rows[:]
    rng.shuffle(shuffled)
    a, b = metrics.summary(rows, PRIOR), metrics.summary(shuffled, PRIOR)
    for name, value in a.items():
        if not name.startswith("ece"):  # equal confidences at a bin's edge may fall on either side
            assert value == pytest.approx(b[name]), name


def test_a_failure_is_wrong_and_stays_in_every_denominator():
    rows = [make_scored(1, Category.SAFETY_COMPLIANCE, routed=False, failed=True), make_scored(2, Category.INFORMATIONAL, routed=False)]
    assert metrics.accuracy(rows, metrics.by_raw).model_dump(include={"value", "n"}) == {"value": 0.5, "n": 2}
    assert metrics.safety_recall(rows, metrics.by_raw).value == 0.0
    assert metrics.failure_rate(rows).value == 0.5
    assert metrics.confusion(rows, metrics.by_raw)[2] == [0, 0, 0, 1]


def test_brier_and_nll_at_their_limits():
    sure = np.array([[1.0, 0.0, 0.0]])
    assert metrics.brier(sure, np.array([0])) == 0.0
    assert metrics.brier(sure, np.array([1])) == 2.0
    even = np.full((4, 3), 1 / 3)
    labels = np.array([0, 1, 2, 0])
    assert metrics.brier(even, labels) == pytest.approx(2 / 3)
    assert nll(even, labels) == pytest.approx(log_loss(labels, even, labels=[0, 1, 2]))


def test_a_perfectly_calibrated_model_has_little_ece_and_a_boaster_much():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], size=5000)
    labels = np.array([rng.choice(3, p=p) for p in probabilities])
    assert metrics.expected_calibration_error(probabilities, labels) < 0.03
    boast = np.eye(3)[probabilities.argmax(axis=1)]
    assert metrics.expected_calibration_error(boast, labels) > 0.3


def test_capture_counts_what_a_person_sees_as_safety():
    rows = outcomes(caught=9, safety=10, flagged=25, rest=100)
    assert metrics.safety_capture(rows).value == 0.9
    assert metrics.over_flag_rate(rows).value == 0.25


def test_accuracy_at_the_declared_prior():
    rows = scored([(c, c) for c in CATEGORIES] + [(Category.INFORMATIONAL, Category.SERVICE_ACTION)])
    assert metrics.reweighted_accuracy(rows, PRIOR) == pytest.approx(0.5 * 0.5 + 0.45 + 0.05)
    assert metrics.reweighted_accuracy(rows[:1], PRIOR) is None


def test_nothing_is_not_an_error():
    summary = metrics.summary([], PRIOR)
    assert summary["accuracy_raw"]["value"] is None
    assert summary["nll_raw"] is None


def test_slices_count_every_facet():
    slices = metrics.slices(outcomes(caught=5, safety=5))
    assert slices["channel"]["chat"]["n"] == 105
    assert slices["topic"]["x"]["safety_capture"]["value"] == 1.0
