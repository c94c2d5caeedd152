import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score
from support import simulated

from evals.calibration_error import expected_calibration_error
from evals.columns import BANDS, Columns, filled, top
from evals.prior import at_prior
from evals.proper import brier_scores
from orchestrator.schema import CATEGORIES, Category

PRIOR = {"informational": 0.5, "service_action": 0.45, "safety_compliance": 0.05}
SAFETY = 2


def weights_of(columns):
    shares = np.array([PRIOR[category.value] for category in CATEGORIES])
    return (shares / np.bincount(columns.label, minlength=3))[columns.label]


def values_of(found):
    return {name: one["value"] for name, one in {**found, **found["bands"]}.items() if isinstance(one, dict) and "value" in one}


def test_the_numbers_are_those_of_weighted_rows():
    columns = Columns.of(simulated(300, seed=3))
    weights = weights_of(columns)
    found = at_prior(columns, PRIOR, seed=0)
    calibrated = filled(columns.calibrated)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(columns.label, columns.decided, sample_weight=weights))
    precision = precision_score(columns.label == SAFETY, columns.decided == SAFETY, sample_weight=weights)
    assert found["safety_precision"]["value"] == pytest.approx(precision)
    assert found["flag_rate"]["value"] == pytest.approx(np.average(columns.routed, weights=weights))
    assert found["review_rate"]["value"] == pytest.approx(np.average(columns.review, weights=weights))
    assert found["degraded_rate"]["value"] == pytest.approx(np.average(columns.degraded, weights=weights))
    assert found["brier"]["value"] == pytest.approx(np.average(brier_scores(calibrated, columns.label), weights=weights))
    right = top(columns.calibrated) == columns.label
    assert found["ece10"] == pytest.approx(expected_calibration_error(calibrated.max(axis=1), right, weights))
    for code, band in enumerate(BANDS):
        assert found["bands"][band.value]["value"] == pytest.approx(np.average(columns.band == code, weights=weights))
    assert sum(band["value"] for band in found["bands"].values()) == pytest.approx(1)


def test_intervals_hold_their_numbers_and_are_as_wide_as_sampling_within_labels_says():
    columns = Columns.of(simulated(600, seed=4))
    found = at_prior(columns, PRIOR, seed=0)
    for estimate in [found["accuracy"], found["safety_precision"], found["brier"], *found["bands"].values()]:
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    right = columns.decided == columns.label
    shares = [PRIOR[category.value] for category in CATEGORIES]
    variance = sum(share**2 * right[columns.label == k].var() / (columns.label == k).sum() for k, share in enumerate(shares))
    width = found["accuracy"]["high"] - found["accuracy"]["low"]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.1)


def test_at_the_prevalence_of_the_rows_nothing_changes():
    columns = Columns.of(simulated(200, seed=5))
    shares = np.bincount(columns.label, minlength=3) / len(columns)
    found = at_prior(columns, dict(zip(PRIOR, shares.tolist(), strict=True)), seed=0)
    assert found["accuracy"]["value"] == pytest.approx((columns.decided == columns.label).mean())


def test_order_is_no_matter():
    rows = simulated(90, seed=6, rows_per_seed=2)
    assert values_of(at_prior(Columns.of(rows), PRIOR, seed=0)) == pytest.approx(values_of(at_prior(Columns.of(rows[::-1]), PRIOR, seed=0)))


@pytest.mark.parametrize("labels", [(Category.INFORMATIONAL,), (Category.SAFETY_COMPLIANCE, Category.SERVICE_ACTION)])
@pytest.mark.parametrize("n", [0, 1, 60])
def test_without_rows_of_a_category_nothing_is_said_of_traffic(labels, n):
    found = at_prior(Columns.of(simulated(n, labels=labels)), PRIOR, seed=0)
    assert set(values_of(found).values()) == {None}
    assert found["ece10"] is None
    assert (found["accuracy"]["low"], found["accuracy"]["high"], found["brier"]["high"]) == (0.0, 1.0, 2.0)


def test_a_category_that_traffic_does_not_have_is_not_needed():
    columns = Columns.of(simulated(60, labels=(Category.INFORMATIONAL,)))
    found = at_prior(columns, {"informational": 1.0, "service_action": 0.0, "safety_compliance": 0.0}, seed=0)
    assert found["accuracy"]["value"] == pytest.approx((columns.decided == columns.label).mean())


def test_a_share_of_nothing_is_not_certain():
    found = at_prior(Columns.of(simulated(300, failed=0.0)), PRIOR, seed=0)["degraded_rate"]
    assert (found["value"], found["low"]) == (0.0, 0.0)
    assert 0.01 < found["high"] < 0.03
    everything = at_prior(Columns.of(simulated(300, failed=1.0)), PRIOR, seed=0)["degraded_rate"]
    assert (everything["value"], everything["high"]) == (pytest.approx(1.0), 1.0)
    assert 0.97 < everything["low"] < 0.99
