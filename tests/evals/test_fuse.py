import numpy as np
import pytest

from evals.calibrate import fit_bcts, folded, nll
from evals.fuse import beats_both, fit_fusion, out_of_fold_fusion
from orchestrator.calibration import Fusion
from orchestrator.schema import Asked, Source

LLM, LOCAL = Asked(prompt="p", model="m"), Asked(prompt="", model="l")


def two_scorers(n, seed, skill=(1.0, 1.0)):
    """Labels, and two scorers of the given skill whose errors are independent."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    scorers = []
    for own in skill:
        shares = np.exp(rng.normal(0, 1, (n, 3)) + own * np.eye(3)[labels])
        scorers.append(shares / shares.sum(axis=1, keepdims=True))
    return *scorers, labels, [f"s{i:04d}" for i in range(n)]


def fused(llm, local, labels, seeds):
    return fit_fusion(llm, local, labels, seeds, asked=LLM, source=Source.LOGPROB, local_asked=LOCAL)


def compared(llm, local, labels, seeds):
    n = len(labels)
    alone = [folded(n, seeds, lambda a, b, x=x: fit_bcts(x[a], labels[a]).apply_rows(x[b])) for x in (llm, local)]
    return beats_both(out_of_fold_fusion(llm, local, labels, seeds), *alone, labels, seeds, seed=1)


def test_two_scorers_with_errors_of_their_own_are_better_together():
    found = compared(*two_scorers(500, 1))
    assert found.kept
    assert found.nll < min(found.nll_llm, found.nll_local)
    assert found.gain_low > 0


def test_a_scorer_that_knows_nothing_adds_nothing():
    found = compared(*two_scorers(500, 2, skill=(0.0, 1.5)))
    assert abs(found.gain) < 0.02
    assert found.gain_low < 0


def test_the_fusion_is_fitted_on_rows_and_holds_on_others():
    fusion = fused(*two_scorers(500, 3))
    llm, local, labels, _ = two_scorers(2000, 4)
    both = nll(fusion.apply_rows(llm, local), labels)
    alone = [nll(fit_bcts(x, labels).apply_rows(x), labels) for x in (llm, local)]
    assert both < min(alone)


def test_out_of_fold_never_uses_a_rows_own_label():
    llm, local, labels, seeds = two_scorers(150, 5)
    changed = labels.copy()
    changed[0] = (labels[0] + 1) % 3
    before, after = (out_of_fold_fusion(llm, local, which, seeds)[0] for which in (labels, changed))
    assert before == pytest.approx(after)


def test_a_fusion_is_refused_for_another_local_classifier():
    fusion = Fusion.model_validate_json(fused(*two_scorers(120, 6)).model_dump_json())
    assert fusion.refuses_with(LLM, Source.LOGPROB, LOCAL) is None
    assert "local classifier" in fusion.refuses_with(LLM, Source.LOGPROB, Asked(prompt="", model="another"))
    assert "another model" in fusion.refuses_with(Asked(prompt="p", model="x"), Source.LOGPROB, LOCAL)


def test_too_few_rows_or_a_missing_category_are_refused():
    llm, local, labels, seeds = two_scorers(99, 7)
    with pytest.raises(ValueError, match="99 rows"):
        fused(llm, local, labels, seeds)
    llm, local, labels, seeds = two_scorers(150, 8)
    with pytest.raises(ValueError, match="all three categories"):
        fused(llm, local, np.minimum(labels, 1), seeds)
