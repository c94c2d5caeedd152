import pytest
from support import simulated

from evals.reliability import BINS, reliability


@pytest.mark.parametrize("calibrated", [False, True])
def test_bins_rise_in_confidence_and_share_the_answered_rows_evenly(calibrated):
    rows = simulated(100, failed=0.2)
    bins = reliability(rows, calibrated=calibrated)
    counts = [n for _, _, n in bins]
    assert sum(counts) == sum(row.classification.failure is None for row in rows)
    assert max(counts) - min(counts) <= 1
    assert [x for x, _, _ in bins] == sorted(x for x, _, _ in bins)


def test_a_model_that_always_fails_has_no_bins_and_few_rows_have_few():
    assert reliability(simulated(5, failed=1.0), calibrated=True) == reliability([], calibrated=False) == []
    assert len(reliability(simulated(3, failed=0.0), calibrated=True)) == 3 < BINS
