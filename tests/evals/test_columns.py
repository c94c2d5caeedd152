import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_scored, simulated

from evals.columns import BANDS, NO_ANSWER, Columns, filled, top
from evals.data import Split
from evals.errors import EvalError
from evals.scored import iter_outcomes, read_outcomes, write_outcomes
from orchestrator.schema import CATEGORIES, Category, Probabilities

shares = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0]), min_size=3, max_size=3).filter(lambda values: sum(values) > 0)


def tags_of(columns, index):
    return [columns.tags[code] for code in columns.tag[columns.tag_start[index] : columns.tag_start[index + 1]]]


def test_columns_hold_what_the_rows_say():
    rows = simulated(50, seed=1)
    columns = Columns.of(row for row in rows)
    assert len(columns) == 50
    for index, row in enumerate(rows):
        found = row.classification
        assert CATEGORIES[columns.label[index]] == row.label
        assert CATEGORIES[columns.decided[index]] == found.decision.category
        assert BANDS[columns.band[index]] == found.decision.band
        assert columns.confidence[index] == found.decision.confidence
        assert columns.routed[index] == found.decision.routed_as_safety
        assert columns.review[index] == found.decision.review_required
        assert columns.degraded[index] == found.degraded
        assert columns.latency_s[index] == found.usage.latency_s
        assert columns.cost_usd[index] == row.cost_usd
        if found.failure is None:
            assert columns.calibrated[index].tolist() == found.probabilities.vector().tolist()
            assert columns.raw[index].tolist() == found.raw_probabilities.vector().tolist()


def test_a_failure_has_no_probabilities_and_predicts_nothing():
    columns = Columns.of([make_scored(1, Category.SAFETY_COMPLIANCE, routed=False, failed=True)])
    assert np.isnan(columns.raw).all()
    assert np.isnan(columns.calibrated).all()
    assert top(columns.raw).tolist() == [NO_ANSWER]
    assert filled(columns.calibrated)[0].tolist() == [1 / 3] * 3
    assert columns.failed.tolist() == [True]


@given(shares)
def test_the_top_category_is_the_records_ties_included(values):
    probabilities = Probabilities.from_vector(values)
    assert CATEGORIES[top(probabilities.vector()[None])[0]] == probabilities.top


def test_a_row_fits_in_150_bytes():
    columns = Columns.of(simulated(2000))
    held = sum(value.nbytes for value in vars(columns).values() if isinstance(value, np.ndarray))
    assert held / len(columns) < 150


@given(st.randoms(use_true_random=False))
def test_seeds_and_tags_are_numbered_by_name_whatever_the_order_of_the_rows(rng: random.Random):
    rows = simulated(20, rows_per_seed=2)
    shuffled = rows[:]
    rng.shuffle(shuffled)
    columns, other = Columns.of(rows), Columns.of(shuffled)
    assert {row.seed_id: code for row, code in zip(shuffled, other.seed, strict=True)} == {
        row.seed_id: code for row, code in zip(rows, columns.seed, strict=True)
    }
    assert columns.tags == other.tags


def test_a_row_is_in_the_slices_of_its_tags_channel_kind_length_and_source():
    row = make_scored(1, Category.INFORMATIONAL, routed=False).model_copy(update={"slices": ("topic:a", "topic:b"), "characters": 120})
    imported = row.model_copy(update={"slices": ("source:imported",), "characters": None})
    columns = Columns.of([row, imported])
    assert set(tags_of(columns, 0)) == {"topic:a", "topic:b", "channel:chat", "kind:clear", "length:medium", "source:written"}
    assert set(tags_of(columns, 1)) == {"source:imported", "channel:chat", "kind:clear"}


@pytest.mark.parametrize(("characters", "length"), [(1, "short"), (99, "short"), (100, "medium"), (199, "medium"), (200, "long")])
def test_a_length_belongs_to_one_band(characters, length):
    row = make_scored(1, Category.INFORMATIONAL, routed=False).model_copy(update={"characters": characters})
    assert f"length:{length}" in tags_of(Columns.of([row]), 0)


@given(st.lists(st.booleans(), min_size=20, max_size=20))
def test_picking_rows_is_the_same_before_and_after(mask):
    rows = simulated(20)
    picked, expected = Columns.of(rows).where(np.array(mask)), Columns.of([row for row, kept in zip(rows, mask, strict=True) if kept])
    assert len(picked) == sum(mask)
    assert picked.confidence.tolist() == expected.confidence.tolist()
    assert [tags_of(picked, i) for i in range(len(picked))] == [tags_of(expected, i) for i in range(len(expected))]


def test_rows_of_one_split_are_found():
    rows = [make_scored(i, Category.INFORMATIONAL, routed=False, split=split) for i, split in enumerate((Split.GATE, Split.CRITICAL))]
    assert Columns.of(rows).of_split(Split.CRITICAL).seed.tolist() == [1]


def test_no_rows_are_columns_too():
    columns = Columns.of([])
    assert len(columns) == len(columns.where(np.array([], dtype=bool))) == 0
    assert columns.tags == ()


def test_outcomes_are_read_one_by_one_and_the_bad_line_is_named(tmp_path):
    rows = simulated(3)
    path = tmp_path / "outcomes.jsonl"
    write_outcomes(path, rows)
    assert read_outcomes(path) == rows
    path.write_text(path.read_text() + "\n{}\n")
    stream = iter_outcomes(path)
    assert [next(stream) for _ in rows] == rows
    with pytest.raises(EvalError, match=r"outcomes.jsonl:5: not an outcome"):
        next(stream)
    with pytest.raises(EvalError, match="is missing"):
        read_outcomes(tmp_path / "nothing.jsonl")


def test_a_line_separator_inside_a_line_does_not_end_it(tmp_path):
    row = simulated(1)[0]
    decision = row.classification.decision.model_copy(update={"path": "a\u2028b\x85c"})
    row = row.model_copy(update={"classification": row.classification.model_copy(update={"decision": decision})})
    write_outcomes(tmp_path / "o.jsonl", [row])
    assert read_outcomes(tmp_path / "o.jsonl") == [row]
