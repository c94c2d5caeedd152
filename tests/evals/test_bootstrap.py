import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from evals.bootstrap import clustered, difference, interval, levels_of, replicate


def mean_of(clusters, values):
    sums = clusters.sums(np.column_stack([values, np.ones(len(values))]))
    return lambda counts: (counts @ sums)[:, :1] / (counts @ sums)[:, 1:]


def test_the_percentile_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).gamma(1.5, size=150)
    clusters = clustered(np.arange(150), seed=0)
    found = interval(values.mean(), replicate(mean_of(clusters, values), clusters, seed=0)[:, 0], n=150, seeds=150, open_range=(0, 9))
    oracle = bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1)).confidence_interval
    width = oracle.high - oracle.low
    assert found.low == pytest.approx(oracle.low, abs=0.05 * width)
    assert found.high == pytest.approx(oracle.high, abs=0.05 * width)


def test_rows_of_one_seed_are_no_further_evidence():
    rng = np.random.default_rng(0)
    a, b, seeds = rng.random(80), rng.random(80), np.arange(80)
    once = difference(a, b, seeds, seed=3)
    thrice = difference(np.repeat(a, 3), np.repeat(b, 3), np.repeat(seeds, 3), seed=3)
    assert (thrice.low, thrice.high, thrice.upper) == pytest.approx((once.low, once.high, once.upper))
    assert (once.n, thrice.n, once.seeds, thrice.seeds) == (80, 240, 80, 80)


@settings(max_examples=20)
@given(st.integers(2, 40), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_a_difference_is_the_same_in_any_order_and_mirrored_when_swapped(n, seed, rng):
    draw = np.random.default_rng(seed)
    a, b, seeds = draw.random(n), draw.random(n), [f"s{i // 2:04d}" for i in range(n)]
    order = list(range(n))
    rng.shuffle(order)
    found = difference(a, b, seeds, seed=1, replicates=300)
    shuffled = difference(a[order], b[order], [seeds[i] for i in order], seed=1, replicates=300)
    assert found.model_dump() == pytest.approx(shuffled.model_dump())
    swapped = difference(b, a, seeds, seed=1, replicates=300)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((-found.value, -found.high, -found.low))
    if found.seeds > 1:
        assert found.low <= found.upper <= found.high


def test_a_candidate_against_itself_differs_by_nothing():
    losses = np.random.default_rng(0).random(50)
    assert difference(losses, losses, range(50), seed=0).model_dump(exclude={"n", "seeds"}) == dict.fromkeys(
        ("value", "low", "high", "upper"), 0.0
    )


def test_intervals_cover_and_the_upper_bound_is_one_sided():
    rng = np.random.default_rng(0)
    found = [difference(rng.exponential(size=100), rng.exponential(size=100), range(100), seed=k, replicates=500) for k in range(300)]
    assert 0.91 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.98
    assert 0.91 <= np.mean([one.upper >= 0 for one in found]) <= 0.98


@pytest.mark.parametrize("n", [0, 1, 3])
def test_fewer_than_two_seeds_leave_the_difference_open(n):
    found = difference([0.5] * n, [0.25] * n, ["s1"] * n, seed=0)
    assert (found.value, found.low, found.high, found.upper) == (0.25 if n else None, -2.0, 2.0, 2.0)


def test_rows_that_do_not_match_are_an_error():
    with pytest.raises(ValueError, match="same rows"):
        difference([1.0, 2.0], [1.0], ["s1", "s2"], seed=0)


def test_as_many_seeds_are_drawn_as_a_stratum_has():
    seeds, strata = np.array([0, 0, 1, 2, 3, 4]), np.array([0, 0, 0, 1, 1, 1])
    clusters = clustered(seeds, strata, seed=0)
    counts = replicate(lambda counts: counts, clusters, seed=0, replicates=50)
    assert (counts[:, clusters.stratum == 0].sum(axis=1) == 2).all()
    assert (counts[:, clusters.stratum == 1].sum(axis=1) == 3).all()
    assert clusters.code[0] == clusters.code[1]


def test_the_chunks_do_not_change_what_is_drawn(monkeypatch):
    clusters = clustered(np.arange(40), seed=0)
    whole = replicate(lambda counts: counts, clusters, seed=5, replicates=100)
    monkeypatch.setattr("evals.bootstrap.CELLS", 7 * 40)
    assert (replicate(lambda counts: counts, clusters, seed=5, replicates=100) == whole).all()


def test_very_many_seeds_are_resampled_in_groups_to_the_same_width():
    values = np.random.default_rng(0).random(30_000)
    found = difference(values, np.zeros(30_000), np.arange(30_000), seed=0)
    assert len(clustered(np.arange(30_000), seed=0)) == 1000
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(30_000), rel=0.1)
    assert found.seeds == 30_000


def test_a_table_counts_rows_by_cluster_and_level_be_it_sparse_or_not():
    rng = np.random.default_rng(0)
    for n, width in ((30, 30), (2000, 5)):
        clusters = clustered(rng.integers(0, 25, size=n), seed=0)
        level, chosen = rng.integers(0, width, size=n), rng.random(n) < 0.5
        expected = np.zeros((len(clusters), width))
        np.add.at(expected, (clusters.code, level), chosen)
        counts = rng.integers(0, 3, size=(4, len(clusters))).astype(float)
        assert (counts @ clusters.table(level, width, chosen) == counts @ expected).all()


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_levels_are_the_distinct_values_in_order(values):
    found, level = levels_of(np.array(values, dtype=float))
    assert found[level].tolist() == values
    assert (np.diff(found) > 0).all()


def test_levels_of_very_many_values_are_theirs_to_a_thousandth():
    values = np.random.default_rng(0).gamma(2.0, size=25_000)
    found, level = levels_of(values)
    assert found[level] == pytest.approx(values, rel=1e-3)
    assert len(found) < 10_000
