import numpy as np
import pytest

from evals.gate import SIGNIFICANT
from evals.intervals import lower_bound, mcnemar_worse, tango_lower
from evals.observed import power_report
from evals.power import LOSSES, POWER, Setting, detectable_loss, mcnemar_power, verdict_chances
from evals.workspace import GateParams, Workspace

PARAMS = GateParams(delta=0.03, floor=0.93, max_failure_share=0.02)
SETTING = Setting(safety=300, others=400, misses=0.02, disagreement=0.02, other_disagreement=0.10)


def test_the_chances_are_those_of_a_simulation_of_the_gates_rules():
    rng = np.random.default_rng(1)
    loss, draws = 0.02, 4000
    gained, lost, wrong = 0.01, 0.01 + loss, 0.01
    verdicts = {"PASS": 0, "FAIL": 0, "INCONCLUSIVE": 0}
    for g, lo, w, _ in rng.multinomial(300, [gained, lost, wrong, 1 - gained - lost - wrong], size=draws):
        if lower_bound(300 - int(lo + w), 300) < PARAMS.floor or mcnemar_worse(int(g), int(lo)) < SIGNIFICANT:
            verdicts["FAIL"] += 1
        elif tango_lower(int(g), int(lo), 300) > -PARAMS.delta:
            verdicts["PASS"] += 1
        else:
            verdicts["INCONCLUSIVE"] += 1
    chances = verdict_chances(SETTING._replace(others=0), loss, PARAMS)
    assert chances.passed == pytest.approx(verdicts["PASS"] / draws, abs=0.025)
    assert chances.failed == pytest.approx(verdicts["FAIL"] / draws, abs=0.025)
    assert sum(chances) == pytest.approx(1.0)


def test_a_worse_candidate_passes_less_often_and_more_rows_tell_better():
    passed = [verdict_chances(SETTING, loss, PARAMS).passed for loss in LOSSES]
    assert passed == sorted(passed, reverse=True)
    larger = SETTING._replace(safety=900)
    assert verdict_chances(larger, 0.0, PARAMS).passed > passed[0]
    assert verdict_chances(larger, 0.05, PARAMS).passed <= passed[-1]


def test_a_champion_that_misses_nothing_can_still_be_compared():
    chances = verdict_chances(SETTING._replace(misses=0.0, disagreement=0.0, others=0), 0.0, PARAMS)
    assert chances.passed == pytest.approx(1.0)


def test_the_power_of_mcnemar_is_that_of_a_simulation():
    rng = np.random.default_rng(2)
    loss, disagreement, n, draws = 0.05, 0.06, 300, 4000
    gained, lost = disagreement / 2, disagreement / 2 + loss
    counts = rng.multinomial(n, [gained, lost, 1 - gained - lost], size=draws)
    found = np.mean([mcnemar_worse(int(g), int(lo)) < SIGNIFICANT for g, lo, _ in counts])
    assert mcnemar_power(n, disagreement, loss) == pytest.approx(found, abs=0.025)


def test_the_detectable_loss_is_found_with_the_promised_power():
    loss = detectable_loss(300, 0.04)
    assert mcnemar_power(300, 0.04, loss) == pytest.approx(POWER, abs=0.01)
    assert detectable_loss(1200, 0.04) < loss < detectable_loss(300, 0.2)


def test_too_few_rows_detect_nothing():
    assert detectable_loss(0, 0.1) is None
    assert detectable_loss(3, 0.0) is None


def test_the_readme_tells_what_the_committed_results_give(root):
    told = " ".join((root / "README.md").read_text().split("<!-- power -->")[1].split("<!-- /power -->")[0].split())
    report = power_report(Workspace(root))
    equal, one, two, three = (round(100 * line["passed"]) for line in report["chances"] if line["loss"] < 0.05)
    failed = round(100 * report["chances"][0]["failed"])
    names = ("safety capture, gate", "specificity, gate", "accuracy, gate")
    capture, specificity, accuracy = (f"{100 * report['detectable'][name]['loss']:.1f}" for name in names)
    for phrase in (
        f"passes {equal} times in 100; one that catches 1 point less passes {one} times, 2 points {two}, 3 points {three},",
        f"a loss of {capture} points in capture, {specificity} in specificity and {accuracy} in accuracy",
        f"A FAIL by accident happens to about {failed} equal prompts in 100",
    ):
        assert phrase in told
    assert report["chances"][-1]["passed"] < 0.002  # "once in a thousand"
