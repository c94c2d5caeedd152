import numpy as np
import pytest
import relplot
from hypothesis import given
from hypothesis import strategies as st

from evals.smooth import smooth_calibration_error

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
pairs = answers.map(lambda rows: (np.array([x for x, _ in rows]), np.array([y for _, y in rows])))


def by_quadrature(confidence, right):
    """SmECE by its definition: the reflected kernel summed over images of each point, integrated and bisected."""
    t = np.linspace(0, 1, 4001)
    images = np.concatenate([sign * confidence + 2 * k for k in range(-3, 4) for sign in (1, -1)])
    residual = np.tile(confidence - right, 14) / len(right)

    def smoothed(sigma):
        kernel = np.exp(-0.5 * ((t[:, None] - images) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        return np.trapezoid(np.abs(kernel @ residual), t)

    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    return low


def drawn(kind, n, seed):
    rng = np.random.default_rng(seed)
    confidence = {"top": rng.uniform(0.34, 0.99, n), "sure": 0.01 + 0.98 * rng.beta(5, 1, n), "any": rng.uniform(0.01, 0.99, n)}[kind]
    return confidence, rng.random(n) < np.clip(confidence + rng.uniform(-0.15, 0.15), 0, 1)


@pytest.mark.parametrize("kind", ["top", "sure", "any"])
@pytest.mark.parametrize("n", [100, 300, 700, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_the_authors_implementation(kind, n, seed):
    confidence, right = drawn(kind, n, seed)
    assert smooth_calibration_error(confidence, right) == pytest.approx(relplot.smECE(confidence, right.astype(float)), abs=1.2e-3)


@pytest.mark.parametrize("n", [3, 30, 300])
@pytest.mark.parametrize("flip", [False, True])  # far from calibrated the authors' kernel is cut off at half the unit interval, ours is not
def test_it_agrees_with_its_definition(n, flip):
    rng = np.random.default_rng(n)
    confidence = rng.choice([0.0, 0.2, 0.5, 0.97, 1.0], size=n) if n == 30 else rng.random(n)
    right = rng.random(n) < (1 - confidence if flip else confidence)
    assert smooth_calibration_error(confidence, right) == pytest.approx(by_quadrature(confidence, right), abs=1e-3)


@given(pairs)
def test_it_is_no_less_than_the_gap_of_the_means_and_no_more_than_the_mean_gap(pair):
    confidence, right = pair
    found = smooth_calibration_error(confidence, right)
    # A residual smoothed by less than the grid's step overshoots: a single one by up to 3.3 %.
    assert abs(confidence.mean() - right.mean()) - 2e-5 <= found <= 1.033 * np.abs(confidence - right).mean() + 2e-5


@given(pairs, st.randoms(use_true_random=False))
def test_order_is_no_matter(pair, rng):
    confidence, right = pair
    order = list(range(len(right)))
    rng.shuffle(order)
    assert smooth_calibration_error(confidence, right) == pytest.approx(smooth_calibration_error(confidence[order], right[order]), abs=2e-5)


def test_the_limits_are_a_perfect_model_a_constant_one_and_a_liar():
    right = np.arange(40) < 30
    assert smooth_calibration_error(right.astype(float), right) == pytest.approx(0.0, abs=2e-5)
    assert smooth_calibration_error(np.full(40, 0.5), right) == pytest.approx(0.25, abs=2e-5)
    assert smooth_calibration_error(np.ones(40), np.zeros(40, dtype=bool)) == pytest.approx(1.0, abs=2e-5)


def test_no_rows_have_no_error():
    assert smooth_calibration_error(np.array([]), np.array([], dtype=bool)) is None
