import gc
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from support import outcomes, simulated

from evals.pairs import compare_all, holm, mcnemar_two_sided, pareto_front


@pytest.fixture(scope="module", autouse=True)
def _nothing_old_is_garbage():
    """statsmodels collects garbage at every call: half a second where much is imported, unless it need not look at all that."""
    gc.freeze()
    yield
    gc.unfreeze()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_that_of_statsmodels(gained, lost):
    assert mcnemar_two_sided(gained, lost) == pytest.approx(mcnemar([[5, gained], [lost, 5]], exact=True).pvalue)


def test_a_candidate_and_its_copy_have_no_detectable_difference():
    rows = simulated(200)
    (pair,) = compare_all({"a": rows, "b": rows}, seed=1)
    for metric in ("accuracy", "safety_capture", "specificity", "brier", "nll"):
        assert (pair[metric]["difference"], pair[metric]["p"], pair[metric]["said"]) == (0.0, 1.0, "no detectable difference")


def test_a_real_difference_is_found_and_told_by_name_in_either_order():
    good, bad = outcomes(caught=300, safety=300, flagged=10), outcomes(caught=250, safety=300, flagged=60)
    for first, second in (("good", "bad"), ("bad", "good")):
        (pair,) = compare_all({name: {"good": good, "bad": bad}[name] for name in (first, second)}, seed=1)
        for metric in ("safety_capture", "specificity", "accuracy"):
            assert pair[metric]["said"] == "good is better"
            assert np.sign(pair[metric]["difference"]) == (1 if first == "good" else -1)
            assert pair[metric]["low"] <= pair[metric]["difference"] <= pair[metric]["high"]


def test_a_difference_that_one_pair_shows_may_vanish_among_many():
    base = outcomes(caught=296, safety=300)
    slightly = [
        row if row.id not in {f"m{i:04d}" for i in range(290, 296)} else other
        for row, other in zip(base, outcomes(caught=290, safety=300), strict=True)
    ]
    (alone,) = compare_all({"a": base, "b": slightly}, seed=1)
    assert alone["safety_capture"]["p_holm"] < 0.05
    many = compare_all({"a": base, "b": slightly} | {f"c{i}": base for i in range(6)}, seed=1)
    assert all(pair["safety_capture"]["said"] == "no detectable difference" for pair in many)


def test_equal_candidates_are_rarely_told_apart():
    false_alarms = 0
    for trial in range(40):
        pairs = compare_all(same_labels(trial), seed=trial)
        false_alarms += any(pair[metric]["said"] != "no detectable difference" for pair in pairs for metric in ("accuracy", "brier"))
    assert false_alarms <= 8  # 2 metrics at 5 % each over 40 trials: 4 are expected


def same_labels(trial):
    """Three candidates that answer the same rows independently and equally well."""
    rng = np.random.default_rng(trial)
    base = simulated(150, seed=trial, failed=0.0)
    by_label = {label: [row for row in base if row.label == label] for label in {row.label for row in base}}

    def candidate():
        return [
            row.model_copy(update={"classification": by_label[row.label][rng.integers(len(by_label[row.label]))].classification})
            for row in base
        ]

    return {name: candidate() for name in "abc"}


def test_intervals_do_not_depend_on_the_order_of_rows_or_candidates():
    a, b = simulated(120, seed=1), simulated(120, seed=1, failed=0.5)
    (one,) = compare_all({"a": a, "b": b}, seed=3)
    (other,) = compare_all({"a": a[::-1], "b": b[::-1]}, seed=3)
    assert one == other


def test_candidates_on_other_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        compare_all({"a": simulated(10), "b": simulated(11)}, seed=1)


def entry(name, capture, over, cost, latency):
    return {
        "candidate": name,
        "safety_capture": {"value": capture},
        "over_flag_rate": {"value": over},
        "usd_per_1000": cost,
        "latency_p50_s": latency,
    }


def test_the_pareto_front_holds_who_nobody_beats():
    entries = [
        entry("safe", 0.99, 0.8, 1, 1),
        entry("quiet", 0.95, 0.2, 1, 1),
        entry("beaten", 0.95, 0.3, 1, 1),
        entry("cheap", 0.9, 0.9, 0, 1),
    ]
    assert pareto_front(entries) == ["safe", "quiet", "cheap"]
    for shuffled in itertools.permutations(entries):
        assert set(pareto_front(shuffled)) == {"safe", "quiet", "cheap"}


def test_equals_stand_on_the_front_together():
    assert pareto_front([entry("a", 0.9, 0.1, 0, 0), entry("b", 0.9, 0.1, 0, 0)]) == ["a", "b"]
    assert pareto_front([]) == []
