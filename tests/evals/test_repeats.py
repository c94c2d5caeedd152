import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.intervals import proportion
from evals.repeats import clustered, flips, in_words, majority, summarise
from orchestrator.schema import Category

INFO, SERVICE, SAFETY = Category
ANSWERS = st.lists(st.sampled_from([INFO, SERVICE, SAFETY, None]), min_size=1, max_size=7)


@given(ANSWERS)
def test_a_majority_is_most_frequent_and_a_failure_only_if_all_fail(given_answers):
    winner = majority(given_answers)
    if winner is None:
        assert set(given_answers) == {None}
    else:
        assert all(given_answers.count(winner) >= given_answers.count(other) for other in Category)


def test_a_tie_goes_to_the_category_of_higher_precedence():
    assert majority([INFO, SAFETY]) == SAFETY
    assert majority([SERVICE, INFO, None, None, None]) == SERVICE


def test_a_failure_is_an_answer_of_its_own():
    assert flips([SAFETY, None])
    assert not flips([None, None])


def test_a_report_counts_flips_means_and_majorities(rows):
    chosen = [row for row in rows if row.label == SAFETY][:10]
    steady = [SAFETY] * 10
    wavering = [INFO, *[SAFETY] * 9]
    report = summarise(chosen, [steady, wavering, steady])
    figures = report["splits"]["all"]
    assert figures["flip_rate"]["value"] == 0.1
    assert figures["mean_accuracy"]["value"] == pytest.approx(29 / 30)
    assert figures["majority_safety_recall"]["value"] == 1.0
    assert report["flips"] == [{"id": chosen[0].id, "label": "safety_compliance", "answers": [SAFETY, INFO, SAFETY]}]
    assert "10.0 %" in in_words(report)[1]


@given(st.integers(1, 60), st.integers(0, 60))
def test_one_row_a_cluster_has_the_exact_interval(n, hits):
    hits = min(hits, n)
    outcomes = [[i < hits] for i in range(n)]
    found, exact = clustered(outcomes, [f"s{i}" for i in range(n)]), proportion(hits, n)
    assert found.value == exact.value
    assert found.low == pytest.approx(exact.low)
    assert found.high == pytest.approx(exact.high)


def test_repeating_an_answer_does_not_make_the_interval_narrower():
    rng = np.random.default_rng(1)
    right = rng.random(100) < 0.8
    once = clustered([[bool(r)] for r in right], [f"s{i}" for i in range(100)])
    ten_times = clustered([[bool(r)] * 10 for r in right], [f"s{i}" for i in range(100)])
    assert ten_times.high - ten_times.low == pytest.approx(once.high - once.low, rel=0.05)


def test_no_outcomes_tell_nothing():
    assert clustered([], []).value is None
