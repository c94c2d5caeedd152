import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from evals.calibrate import nll
from evals.proper import brier_scores, log_losses


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([1, 1, 1], size=n), rng.integers(0, 3, size=n)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_means_are_scikit_learns(n, seed):
    probabilities, labels = drawn(n, seed)
    probabilities = (probabilities + 1e-3) / (1 + 3e-3)
    assert brier_scores(probabilities, labels).mean() == pytest.approx(
        brier_score_loss(labels, probabilities, labels=[0, 1, 2], scale_by_half=False)
    )
    assert log_losses(probabilities, labels).mean() == pytest.approx(log_loss(labels, probabilities, labels=[0, 1, 2]))
    assert log_losses(probabilities, labels).mean() == pytest.approx(nll(probabilities, labels))


def test_the_limits_are_certainty_right_and_wrong():
    sure = np.eye(3)
    assert brier_scores(sure, np.array([0, 1, 2])).tolist() == [0.0, 0.0, 0.0]
    assert brier_scores(sure, np.array([1, 2, 0])).tolist() == [2.0, 2.0, 2.0]
    assert log_losses(sure, np.array([0, 1, 2])).tolist() == [0.0, 0.0, 0.0]
    assert log_losses(sure, np.array([1, 2, 0])) == pytest.approx(-np.log(1e-6))


def test_no_rows_have_no_scores():
    assert len(brier_scores(np.empty((0, 3)), np.array([], dtype=int))) == len(log_losses(np.empty((0, 3)), np.array([], dtype=int))) == 0
