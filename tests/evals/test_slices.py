import numpy as np
import pytest
from support import outcomes, simulated

from evals import rates
from evals.columns import Columns, filled, top
from evals.proper import brier_scores
from evals.slices import MIN_BRIER, MIN_SMECE, slices
from evals.smooth import smooth_calibration_error


def test_every_slice_is_measured_as_its_rows_alone():
    columns = Columns.of(simulated(400, seed=1))
    found = slices(columns, seed=0)
    assert set(found) == {"channel", "kind", "lang", "length", "source", "topic"}
    tags = [f"{facet}:{value}" for facet, values in found.items() for value in values]
    assert sorted(tags) == list(columns.tags)
    for tag in tags:
        rows = np.repeat(np.arange(400), np.diff(columns.tag_start))[columns.tag == columns.tags.index(tag)]
        inside = columns.where(np.isin(np.arange(400), rows))
        facet, _, value = tag.partition(":")
        one = found[facet][value]
        assert one["n"] == len(inside)
        assert one["accuracy"] == pytest.approx(rates.accuracy(inside.label, inside.decided).model_dump())
        assert one["safety_recall"] == pytest.approx(rates.safety_recall(inside.label, inside.decided).model_dump())
        assert one["safety_capture"] == pytest.approx(rates.safety_capture(inside.label, inside.routed).model_dump())
        assert one["over_flag_rate"] == pytest.approx(rates.over_flag_rate(inside.label, inside.routed).model_dump())
        assert one["brier"]["value"] == pytest.approx(brier_scores(filled(inside.calibrated), inside.label).mean())
        assert one["brier"]["low"] < one["brier"]["value"] < one["brier"]["high"]
        confidence, right = filled(inside.calibrated).max(axis=1), top(inside.calibrated) == inside.label
        assert one["smece"] == (pytest.approx(smooth_calibration_error(confidence, right)) if len(inside) >= MIN_SMECE else None)


def test_a_row_with_two_values_of_a_facet_is_in_both_slices():
    row = simulated(1)[0].model_copy(update={"slices": ("topic:a", "topic:b")})
    found = slices(Columns.of([row]), seed=0)
    assert found["topic"]["a"]["n"] == found["topic"]["b"]["n"] == 1


def test_a_number_that_too_few_rows_stand_behind_is_none_and_says_why():
    small, middling, large = (slices(Columns.of(simulated(n)), seed=0)["lang"]["en"] for n in (MIN_BRIER - 1, MIN_BRIER, MIN_SMECE))
    assert small["absent"] == {"brier": "fewer than 30 seeds", "smece": "fewer than 100 rows"}
    assert small["brier"] == {"value": None, "low": 0.0, "high": 2.0, "n": MIN_BRIER - 1}
    assert middling["absent"] == {"smece": "fewer than 100 rows"}
    assert "absent" not in large


def test_paraphrases_of_few_seeds_are_few():
    found = slices(Columns.of(simulated(120, rows_per_seed=10)), seed=0)["lang"]["en"]
    assert found["brier"]["value"] is None
    assert found["smece"] is not None


def test_slices_count_every_facet():
    found = slices(Columns.of(outcomes(caught=5, safety=5)), seed=0)
    assert found["channel"]["chat"]["n"] == 105
    assert found["topic"]["x"]["safety_capture"]["value"] == 1.0


def test_no_rows_have_no_slices():
    assert slices(Columns.of([]), seed=0) == {}
