import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from evals.corp import corp, recalibrated

forecasts = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.35, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=80)
pairs = forecasts.map(lambda rows: (np.array([x for x, _ in rows]), np.array([y for _, y in rows])))


@given(pairs)
def test_recalibration_is_scikit_learns_isotonic_regression(pair):
    forecast, outcome = pair
    oracle = IsotonicRegression(out_of_bounds="clip").fit(forecast, outcome).predict(forecast)
    assert recalibrated(forecast, outcome) == pytest.approx(oracle, abs=1e-12)


@given(pairs)
def test_the_parts_add_up_to_the_brier_score_and_none_is_negative(pair):
    forecast, outcome = pair
    found = corp(forecast, outcome)
    assert found.brier == pytest.approx(((forecast - outcome) ** 2).mean())
    assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(found.brier)
    assert min(found.miscalibration, found.discrimination, found.uncertainty) >= 0
    assert found.uncertainty <= 0.25


@given(pairs, st.randoms(use_true_random=False))
def test_order_is_no_matter(pair, rng):
    forecast, outcome = pair
    order = list(range(len(forecast)))
    rng.shuffle(order)
    assert corp(forecast, outcome).model_dump() == pytest.approx(corp(forecast[order], outcome[order]).model_dump())


def test_a_perfect_forecast_has_all_discrimination_and_a_constant_one_has_none():
    outcome = np.array([True, False, True, True])
    perfect, constant = corp(outcome.astype(float), outcome), corp(np.full(4, 0.75), outcome)
    assert (perfect.brier, perfect.miscalibration, perfect.discrimination) == (0.0, 0.0, perfect.uncertainty)
    assert (constant.miscalibration, constant.discrimination) == (0.0, 0.0)
    assert corp(np.full(4, 0.25), outcome).miscalibration == pytest.approx(0.25)


def test_a_monotone_change_of_the_forecast_is_all_miscalibration():
    rng = np.random.default_rng(0)
    forecast = rng.random(2000)
    outcome = rng.random(2000) < forecast
    honest, bent = corp(forecast, outcome), corp(forecast**3, outcome)
    assert bent.discrimination == pytest.approx(honest.discrimination)
    assert bent.miscalibration > 3 * honest.miscalibration


def test_one_row_and_none():
    assert corp(np.array([0.8]), np.array([True])).miscalibration == pytest.approx(0.04)
    assert corp(np.array([]), np.array([], dtype=bool)) is None
    assert len(recalibrated(np.array([]), np.array([], dtype=bool))) == 0
