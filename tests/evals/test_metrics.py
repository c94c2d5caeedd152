import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from support import make_scored, outcomes, simulated

from evals import metrics
from evals.columns import Columns
from orchestrator.schema import CATEGORIES, Category

PRIOR = {"informational": 0.5, "service_action": 0.45, "safety_compliance": 0.05}


def measured(rows):
    return metrics.measurements(Columns.of(rows), PRIOR, seed=0)


def flat(value, name=""):
    """Return every number of a nested report by its path."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        return {name: value}
    return {path: number for key, child in children for path, number in flat(child, f"{name}/{key}").items()}


def test_nll_and_brier_are_scikit_learns_with_a_failure_as_even_shares():
    rows = simulated(200, seed=1)
    found = metrics.summary(Columns.of(rows))
    labels = metrics.label_indices(rows)
    for view, probabilities in (
        ("raw", metrics.matrix(row.classification.raw_probabilities for row in rows)),
        ("calibrated", metrics.matrix(None if row.classification.failure else row.classification.probabilities for row in rows)),
    ):
        assert found[f"nll_{view}"] == pytest.approx(log_loss(labels, probabilities, labels=[0, 1, 2]))
        assert found[f"brier_{view}"] == pytest.approx(brier_score_loss(labels, probabilities, labels=[0, 1, 2], scale_by_half=False))


def test_the_rows_one_by_one_give_the_same_rates():
    rows = simulated(200, seed=2)
    found = metrics.summary(Columns.of(rows))
    for view, predicted in (("raw", metrics.by_raw), ("calibrated", metrics.by_calibrated), ("system", metrics.by_system)):
        assert found[f"accuracy_{view}"] == metrics.accuracy(rows, predicted).model_dump()
    assert found["safety_capture"] == metrics.safety_capture(rows).model_dump()


def test_a_failure_is_wrong_and_stays_in_every_denominator():
    rows = [make_scored(1, Category.SAFETY_COMPLIANCE, routed=False, failed=True), make_scored(2, Category.INFORMATIONAL, routed=False)]
    found = metrics.summary(Columns.of(rows))
    for name, value, n in (
        ("accuracy_raw", 0.5, 2),
        ("accuracy_calibrated", 0.5, 2),
        ("safety_recall_raw", 0.0, 1),
        ("failure_rate", 0.5, 2),
    ):
        assert (found[name]["value"], found[name]["n"]) == (value, n)
    assert metrics.accuracy(rows, metrics.by_raw).model_dump(include={"value", "n"}) == {"value": 0.5, "n": 2}


def test_order_is_no_matter_to_anything():
    rows = simulated(150, seed=3, rows_per_seed=2)
    order = np.random.default_rng(0).permutation(150)
    assert flat(measured(rows)) == pytest.approx(flat(measured([rows[i] for i in order])), abs=2e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 40])
@pytest.mark.parametrize("failed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("labels", [CATEGORIES, (Category.INFORMATIONAL,), (Category.SAFETY_COMPLIANCE,)])
def test_whatever_the_rows_are_the_report_is_json_and_every_number_in_its_range(n, failed, labels):
    report = json.loads(json.dumps(measured(simulated(n, failed=failed, labels=labels)), allow_nan=False))
    for name, number in flat(report).items():
        leaf = name.rsplit("/", 1)[-1]
        if isinstance(number, str) or number is None or leaf in {"n", "excess"} or leaf.startswith("excess_ece"):
            continue
        assert number >= 0, name
        if not any(word in name for word in ("tokens", "latency", "usd", "nll", "confusion")):
            assert number <= (2 if "brier" in name else 1) + 1e-12, name


@pytest.mark.parametrize("n", [0, 1, 40])
def test_the_gate_holds_plain_numbers_and_whole_estimates(n):
    for name, value in measured(simulated(n))["gate"].items():
        assert value is None or isinstance(value, int | float) or set(value) == {"value", "low", "high", "n"}, name


def test_every_number_that_is_no_proportion_has_its_interval_or_its_null():
    report = measured(simulated(120, seed=4, rows_per_seed=2))
    plain = {name for name, value in report["gate"].items() if not isinstance(value, dict)}
    elsewhere = {name for name in plain if name.startswith(("ece_", "excess_ece_", "smece_", "corp_"))}  # in "calibration"
    counts = {"input_tokens", "output_tokens"}
    assert plain - elsewhere - counts - {"accuracy_at_prior"} == set(report["intervals"])
    for name, estimate in report["intervals"].items():
        assert estimate["value"] == pytest.approx(report["gate"][name]), name
        assert estimate["low"] <= estimate["value"] <= estimate["high"], name
        assert estimate["n"] == 120
    assert report["gate"]["accuracy_at_prior"] == report["at_prior"]["accuracy"]["value"]
    for view in metrics.VIEWS:
        errors = report["calibration"][view]
        assert report["gate"][f"ece_{view}"] == errors["ece10"]["value"]
        assert report["gate"][f"excess_ece_{view}"] == pytest.approx(errors["ece10"]["value"] - errors["ece10"]["expected"])
        assert report["gate"][f"smece_{view}"] == errors["smece"]["value"]


def test_a_perfect_system_has_nothing_to_improve_and_a_constant_one_discriminates_nothing():
    rows = [make_scored(i, CATEGORIES[i % 3], routed=i % 3 == 2, category=CATEGORIES[i % 3], confidence=1.0) for i in range(60)]
    report = measured(rows)
    gate = report["gate"]
    assert gate["accuracy_system"]["value"] == gate["safety_capture"]["value"] == gate["specificity"]["value"] == gate["macro_f1"] == 1
    assert (gate["nll_raw"], gate["brier_raw"], gate["ece_raw"], gate["augrc"]) == (0, 0, 0, 0)
    assert gate["smece_raw"] == pytest.approx(0, abs=2e-5)
    assert report["calibration"]["raw"]["ece10"]["p"] == 1
    constant = measured([make_scored(i, CATEGORIES[i % 3], routed=False) for i in range(60)])
    assert constant["gate"]["ece_raw"] == pytest.approx(0.8 - 1 / 3)
    assert constant["calibration"]["raw"]["corp_confidence"]["discrimination"] == pytest.approx(0)


def test_the_same_seed_gives_the_same_report():
    rows = simulated(60, seed=5)
    assert measured(rows) == measured(rows)


def test_paraphrases_do_not_narrow_an_interval():
    rows = simulated(60, seed=6)
    copies = [row.model_copy(update={"id": f"m{k}{row.id[1:]}"}) for row in rows for k in range(3)]
    once, thrice = measured(rows)["intervals"], measured(copies)["intervals"]
    for name in ("nll_raw", "brier_calibrated", "macro_f1", "augrc", "usd_per_1000"):
        assert (thrice[name]["low"], thrice[name]["high"]) == pytest.approx((once[name]["low"], once[name]["high"])), name


def test_one_seed_leaves_an_interval_open_and_one_without_an_end_away():
    found = measured(simulated(3, rows_per_seed=3))["intervals"]
    assert (found["brier_raw"]["low"], found["brier_raw"]["high"]) == (0.0, 2.0)
    assert (found["augrc"]["low"], found["augrc"]["high"]) == (0.0, 0.5)
    assert "latency_p50_s" not in found


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 4)), min_size=1, max_size=40), st.floats(0, 100))
def test_weighted_percentiles_are_numpys_of_the_repeated_values(pairs, percent):
    values, weights = np.array(sorted(pairs)).T
    if weights.sum():
        found = metrics.weighted_percentiles(values, weights[None], [percent])[0, 0]
        assert found == pytest.approx(np.percentile(np.repeat(values, weights.astype(int)), percent), abs=1e-9)


def test_bands_share_the_rows_among_them():
    rows = simulated(300, seed=7)
    table = metrics.bands(Columns.of(rows))
    assert [line["band"] for line in table] == ["high", "moderate", "low", "uncertain"]
    assert sum(line["n"] for line in table) == 300
    for line in table:
        inside = [row for row in rows if row.classification.decision.band == line["band"]]
        assert line["accuracy"] == metrics.accuracy(inside, metrics.by_system).model_dump()
        assert line["mean_confidence"] == pytest.approx(np.mean([row.classification.decision.confidence for row in inside]))
    assert all(above["mean_confidence"] > below["mean_confidence"] for above, below in pairwise(table))
    assert metrics.bands(Columns.of([]))[0]["mean_confidence"] is None


def test_the_risk_at_full_coverage_is_the_error_rate():
    columns = Columns.of(simulated(100, seed=8))
    last = {view: curve[-1] for view, curve in metrics.curves(columns).items()}
    summary = metrics.summary(columns)
    for view, point in last.items():
        assert point["coverage"] == 1.0
        assert point["risk"] == point["generalized_risk"] == pytest.approx(1 - summary[f"accuracy_{view}"]["value"])


def test_capture_counts_what_a_person_sees_as_safety():
    rows = outcomes(caught=9, safety=10, flagged=25, rest=100)
    assert metrics.safety_capture(rows).value == 0.9
    assert metrics.summary(Columns.of(rows))["over_flag_rate"]["value"] == 0.25


def test_nothing_is_not_an_error():
    report = measured([])
    assert report["gate"]["accuracy_raw"]["value"] is None
    assert report["gate"]["nll_raw"] is None
    assert report["intervals"] == {}
