import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from venn_abers import VennAbers as Oracle

from evals.calibrate import KINDS, fit_bcts, fit_beta, fit_calibrator, fit_venn_abers, fold_of, nll, out_of_fold
from evals.venn_abers import venn_abers_steps
from orchestrator.calibration import BCTS
from orchestrator.schema import Asked, Source

ASKED = Asked(prompt="p", model="m")


def sample(n, seed, temperature=1.0, bias=(0.0, 0.0, 0.0)):
    """Labels drawn from true probabilities, and the distorted probabilities a model would report."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.7, 0.7, 0.7], size=n)
    labels = np.array([rng.choice(3, p=p) for p in truth])
    logits = np.log(truth) * temperature + np.array(bias)
    reported = np.exp(logits)
    return reported / reported.sum(axis=1, keepdims=True), labels


def seeds(n):
    return [f"s{i:04d}" for i in range(n)]


def fit(probabilities, labels):
    return fit_calibrator(probabilities, labels, seeds(len(labels)), asked=ASKED, source=Source.LOGPROB)


def test_it_finds_the_temperature_and_the_class_bias():
    found = fit_bcts(*sample(4000, 1, temperature=2.0, bias=(1.5, -1.0, 0.0)))
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    assert found.bias == pytest.approx([-0.75, 0.5, 0.0], abs=0.15)


@pytest.mark.parametrize("n", [300, 1500])
def test_a_biased_model_is_corrected_on_rows_it_was_not_fitted_on(n):
    calibrator = fit(*sample(n, 2, temperature=2.5, bias=(2.0, 0.0, 0.0)))
    fresh, labels = sample(2000, 3, temperature=2.5, bias=(2.0, 0.0, 0.0))
    assert nll(calibrator.apply_rows(fresh), labels) < nll(fresh, labels) - 0.1


def test_what_does_not_help_out_of_fold_is_not_accepted():
    probabilities, labels = sample(300, 4)
    calibrator = fit(probabilities, labels)
    after = nll(out_of_fold(probabilities, labels, seeds(300), "bcts"), labels)
    assert (calibrator.kind == "bcts") == (after < nll(probabilities, labels))


def test_a_calibrated_model_is_left_alone():
    kinds = [fit(*sample(300, seed)).kind for seed in range(20)]
    assert kinds.count("identity") > 10


def test_under_a_hundred_rows_nothing_is_fitted():
    calibrator = fit(*sample(99, 5, temperature=3.0))
    assert calibrator.kind == "identity"
    assert "99 rows" in calibrator.reason
    assert "99 rows" in calibrator.refuses(ASKED, Source.LOGPROB)


def test_under_a_thousand_rows_only_bcts_is_tried_and_from_there_on_the_best_of_three():
    few, many = sample(999, 6, temperature=2.0), sample(1000, 6, temperature=2.0)
    assert fit(*few).kind == "bcts"
    chosen = fit(*many)
    losses = {kind: nll(out_of_fold(*many, seeds(1000), kind), many[1]) for kind in KINDS}
    assert chosen.kind == min(losses, key=losses.get)
    assert all(kind in chosen.reason for kind in KINDS)


def test_a_distortion_that_no_temperature_mends_is_given_to_a_flexible_kind():
    rng = np.random.default_rng(7)
    score = rng.random(3000)
    labels = np.where(
        rng.random(3000) < np.where((score > 0.3) & (score < 0.7), 0.5, score > 0.5), 0, 1
    )  # flat in the middle, steep outside
    probabilities = np.column_stack([score, 1 - score, np.full(3000, 1e-3)])
    assert fit(probabilities / probabilities.sum(axis=1, keepdims=True), labels).kind == "venn_abers"


def test_one_class_only_does_not_break_the_fit():
    probabilities, _ = sample(1000, 6)
    for kind in KINDS.values():
        rows = kind(probabilities, np.zeros(1000, dtype=int)).apply_rows(probabilities)
        assert np.isfinite(rows).all()
        assert rows[:, 0].mean() > 0.9


@pytest.mark.parametrize(
    ("asked", "source", "words"),
    [
        (Asked(prompt="p", model="other"), Source.LOGPROB, "another model"),
        (Asked(prompt="other", model="m"), Source.LOGPROB, "another prompt"),
        (ASKED, Source.VERBALIZED, "source logprob"),
    ],
)
def test_a_calibrator_is_refused_for_anything_but_what_it_was_fitted_on(asked, source, words):
    calibrator = fit(*sample(300, 2, temperature=2.5, bias=(2.0, 0.0, 0.0)))
    assert calibrator.refuses(ASKED, Source.LOGPROB) is None
    assert words in calibrator.refuses(asked, source)


def test_rows_of_one_seed_share_a_fold():
    folds = fold_of(["s1", "s2", "s1", "s3", "s2"])
    assert folds[0] == folds[2]
    assert folds[1] == folds[4]


def test_out_of_fold_never_uses_a_rows_own_label():
    probabilities, labels = sample(150, 8)
    changed = labels.copy()
    changed[0] = (labels[0] + 1) % 3
    for kind in KINDS:
        before, after = (out_of_fold(probabilities, which, seeds(150), kind)[0] for which in (labels, changed))
        assert before == pytest.approx(after)


@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_calibrated_rows_are_distributions(temperature, a, b):
    probabilities, _ = sample(20, 7)
    calibrator = BCTS(asked=ASKED, source=Source.LOGPROB, temperature=temperature, bias=(a, b, 0.0))
    rows = calibrator.apply_rows(probabilities)
    assert rows.sum(axis=1) == pytest.approx(np.ones(20))
    assert (rows >= 0).all()


@pytest.mark.parametrize("kind", list(KINDS))
def test_any_kind_survives_being_stored_and_gives_distributions(kind):
    probabilities, labels = sample(400, 9, temperature=2.0)
    fitted = KINDS[kind](probabilities, labels)
    again = type(fitted).model_validate_json(fitted.model_dump_json())
    fresh = np.vstack([sample(50, 10)[0], np.eye(3)])
    assert (again.apply_rows(fresh) == fitted.apply_rows(fresh)).all()
    assert again.apply_rows(fresh).sum(axis=1) == pytest.approx(np.ones(53))


def test_beta_calibration_is_a_logistic_regression_on_two_logarithms():
    probabilities, labels = sample(2000, 11, temperature=1.7, bias=(0.5, 0.0, 0.0))
    a, b, c = fit_beta(probabilities, labels).parameters[0]
    p = probabilities[:, 0]
    theirs = LogisticRegression(C=np.inf, max_iter=5000).fit(np.column_stack([np.log(p), -np.log(1 - p)]), labels == 0)
    assert (a, b, c) == pytest.approx((*theirs.coef_[0], theirs.intercept_[0]), abs=0.02)


def test_the_slopes_of_beta_calibration_are_not_negative():
    probabilities, labels = sample(500, 12)
    reversed_labels = np.array([2, 1, 0])[labels]
    assert all(a >= 0 and b >= 0 for a, b, _ in fit_beta(probabilities, reversed_labels).parameters)


def by_definition(scores, events, new):
    """The two isotonic regressions with the new score added as a 0 and as a 1, and their value there."""
    values = []
    for label in (0.0, 1.0):
        fitted = IsotonicRegression().fit(np.append(scores, new), np.append(events, label))
        values.append(fitted.predict([new])[0])
    return values


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=40), st.integers(-1, 41))
def test_venn_abers_is_two_isotonic_regressions_with_the_new_score(pairs, place):
    scores, events = np.array([s for s, _ in pairs], dtype=float), np.array([e for _, e in pairs], dtype=float)
    new = place / 2  # between two scores, or equal to one
    p0, p1 = venn_abers_steps(scores, events).at(np.array([new]))
    assert [p0[0], p1[0]] == pytest.approx(by_definition(scores, events, new))


def test_venn_abers_agrees_with_the_venn_abers_package():
    rng = np.random.default_rng(13)
    scores = rng.random(500)
    events = (rng.random(500) < scores**2).astype(float)
    fresh = rng.random(200)
    oracle = Oracle()
    oracle.fit(np.column_stack([1 - scores, scores]), events)
    _, theirs = oracle.predict_proba(np.column_stack([1 - fresh, fresh]))
    p0, p1 = venn_abers_steps(scores, events).at(fresh)
    assert p0 == pytest.approx(theirs[:, 0], abs=1e-9)
    assert p1 == pytest.approx(theirs[:, 1], abs=1e-9)


def test_venn_abers_calibrates_each_category():
    probabilities, labels = sample(3000, 14, temperature=3.0)
    fresh, truth = sample(3000, 15, temperature=3.0)
    assert nll(fit_venn_abers(probabilities, labels).apply_rows(fresh), truth) < nll(fresh, truth) - 0.1
