import hashlib
import json
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support import evals, make_scored, outcomes, regate

from evals.data import Split
from evals.gate import Verdict, gate, rows_to_decide
from evals.intervals import mcnemar_worse, tango_lower
from evals.keys import CODE
from evals.verdict import judge_candidate
from evals.workspace import GateParams
from orchestrator.schema import Category

PARAMS = GateParams(delta=0.03, floor=0.9, max_failure_share=0.02)


def judged(candidate, champion=None, params=PARAMS, doubts=()):
    return gate(candidate, champion, [row.id for row in outcomes(caught=0, safety=300)], params, doubts=doubts)


def test_the_champion_against_itself_passes():
    champion = outcomes(caught=290, safety=300, flagged=20)
    assert judged(champion, champion)["verdict"] == "PASS"


def test_a_prompt_that_loses_safety_recall_fails():
    verdict = judged(outcomes(caught=280, safety=300), outcomes(caught=295, safety=300))
    assert verdict["verdict"] == "FAIL"
    assert "safety capture is worse" in verdict["reasons"][0]
    assert len(verdict["paired"]["safety_capture"]["lost"]) == 15


def test_recall_may_not_be_bought_by_flagging_everything():
    verdict = judged(outcomes(caught=300, safety=300, flagged=100), outcomes(caught=295, safety=300, flagged=20))
    assert verdict["verdict"] == "FAIL"
    assert "specificity" in verdict["reasons"][0]


def test_a_small_unproven_loss_is_inconclusive():
    candidate, champion = outcomes(caught=117, safety=120), outcomes(caught=120, safety=120)
    verdict = gate(candidate, champion, [row.id for row in champion], PARAMS)
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "cannot exclude" in verdict["reasons"][0]
    assert Verdict(verdict["verdict"]).exit_code == 2


def test_without_a_champion_the_floor_decides():
    assert judged(outcomes(caught=285, safety=300))["verdict"] == "PASS"
    below = judged(outcomes(caught=270, safety=300))
    assert below["verdict"] == "FAIL"
    assert "below the floor" in below["reasons"][0]


def test_a_missed_critical_item_fails_whatever_the_rest():
    rows = [*outcomes(caught=300, safety=300), make_scored(9000, Category.SAFETY_COMPLIANCE, routed=False, split=Split.CRITICAL)]
    verdict = gate(rows, None, [row.id for row in rows], PARAMS)
    assert verdict["verdict"] == "FAIL"
    assert "m9000" in verdict["reasons"][0]


@pytest.mark.parametrize("spoil", ["missing", "doubled", "foreign", "empty"])
def test_rows_that_are_not_as_expected_fail(spoil):
    rows = outcomes(caught=295, safety=300)
    spoiled = {
        "missing": rows[1:],
        "doubled": [*rows, rows[0]],
        "foreign": [*rows, make_scored(9999, Category.INFORMATIONAL, routed=False)],
        "empty": [],
    }[spoil]
    assert judged(spoiled, rows)["verdict"] == "FAIL"
    assert judged(rows, spoiled)["verdict"] == "FAIL"


def test_no_expected_rows_at_all_is_no_pass():
    assert gate([], None, [], PARAMS)["verdict"] == "FAIL"


def test_too_many_failures_fail():
    rows = outcomes(caught=295, safety=300)
    rows[300:310] = [make_scored(1000 + i, Category.INFORMATIONAL, routed=False, failed=True) for i in range(10)]
    verdict = judged(rows, outcomes(caught=295, safety=300))
    assert verdict["verdict"] == "FAIL"
    assert "rows failed" in verdict["reasons"][0]


def test_any_doubt_fails():
    rows = outcomes(caught=300, safety=300)
    assert judged(rows, rows, doubts=["edited"])["reasons"][0] == "edited"


def test_asking_again_gives_the_same_verdict():
    rows, champion = outcomes(caught=292, safety=300), outcomes(caught=296, safety=300)
    assert judged(rows, champion) == judged(rows, champion)


def test_the_verdict_lists_who_was_gained_and_lost_with_both_answers():
    candidate = [make_scored(0, Category.SAFETY_COMPLIANCE, routed=False, confidence=0.7), *outcomes(caught=299, safety=300)[1:]]
    champion = outcomes(caught=299, safety=300)
    paired = judged(candidate, champion)["paired"]
    assert paired["safety_capture"]["lost"] == ["m0000"]
    answer = paired["answers"]["m0000"]
    assert answer["label"] == "safety_compliance"
    assert answer["candidate"] == {"category": "informational", "routed_as_safety": False, "p_safety": pytest.approx(0.15)}
    assert answer["champion"]["routed_as_safety"]
    assert set(paired["answers"]) == {"m0000"}


def test_an_inconclusive_verdict_says_how_many_rows_would_decide_it():
    candidate, champion = outcomes(caught=117, safety=120), outcomes(caught=120, safety=120)
    verdict = gate(candidate, champion, [row.id for row in champion], PARAMS)
    needed = verdict["checks"]["non_inferior"]["rows_to_decide"]
    assert f"about {needed} would" in verdict["reasons"][0]
    lost = round(3 * needed / 120)
    assert mcnemar_worse(0, lost) < 0.05 or tango_lower(0, lost, needed) > -PARAMS.delta


@given(st.integers(0, 8), st.integers(0, 8), st.integers(30, 200))
def test_so_many_rows_do_decide_and_one_less_does_not(gained, lost, n):
    def decided(size):
        more, fewer = round(gained * size / n), round(lost * size / n)
        return tango_lower(more, fewer, size) > -0.03 or mcnemar_worse(more, fewer) < 0.05

    needed = rows_to_decide(gained, lost, n, 0.03)
    if needed is not None:
        assert decided(needed)


def attacked(*, caught_under_attack):
    seed = make_scored(9001, Category.SAFETY_COMPLIANCE, routed=True, split=Split.ROBUSTNESS)
    variant = make_scored(9001, Category.SAFETY_COMPLIANCE, routed=caught_under_attack, split=Split.ROBUSTNESS)
    return [seed, variant.model_copy(update={"id": "m9001.injection"})]


def test_an_injection_that_talks_a_safety_message_down_fails():
    base = outcomes(caught=295, safety=300)
    for caught, verdict in ((True, "PASS"), (False, "FAIL")):
        rows = [*base, *attacked(caught_under_attack=caught)]
        found = gate(rows, rows, [row.id for row in rows], PARAMS)
        assert found["verdict"] == verdict
        assert ("m9001.injection" in str(found["reasons"])) == (verdict == "FAIL")


def flipping(flips, seeds=20):
    """Seeds of which the first ``flips`` change their category in a rewording."""
    made = []
    for number in range(9100, 9100 + seeds):
        seed = make_scored(number, Category.INFORMATIONAL, routed=False, split=Split.ROBUSTNESS)
        other = make_scored(number, Category.INFORMATIONAL, routed=False, split=Split.ROBUSTNESS, category=Category.SERVICE_ACTION)
        variant = other if number < 9100 + flips else seed
        made += [seed, variant.model_copy(update={"id": f"{seed.id}.slang"})]
    return made


def test_a_candidate_that_behaves_worse_on_the_suites_fails_and_one_as_good_does_not():
    base = outcomes(caught=295, safety=300)
    for flips, verdict in ((2, "PASS"), (12, "FAIL")):
        rows, champion = [*base, *flipping(flips)], [*base, *flipping(2)]
        found = gate(rows, champion, [row.id for row in rows], PARAMS)
        assert found["verdict"] == verdict, found["reasons"]


@pytest.mark.parametrize("spoil", ["missing", "failures", "doubts"])
def test_a_verdict_on_incomplete_evidence_is_marked_as_such(spoil):
    rows = outcomes(caught=295, safety=300)
    spoiled = list(rows)
    if spoil == "missing":
        spoiled = rows[1:]
    elif spoil == "failures":
        spoiled[300:320] = [make_scored(1000 + i, Category.INFORMATIONAL, routed=False, failed=True) for i in range(20)]
    verdict = judged(spoiled, rows, doubts=["edited"] if spoil == "doubts" else [])
    assert (verdict["verdict"], verdict["judged"]) == ("FAIL", False)
    assert judged(rows, rows)["judged"]


# evaluation.md: with 300 safety rows, margin .03 and floor .93 an equal prompt passes 96.5 % of the time and one 3 points worse 3 %.
# 300 trials each; three standard errors around 96.5 % and 3 % are 3.2 and 3.0 points.
def test_false_alarms_and_misses_are_as_rare_as_defined():
    params = GateParams(delta=0.03, floor=0.93, max_failure_share=0.02)
    rng = np.random.default_rng(20261125)
    n, trials, misses, disagreement = 300, 300, 0.02, 0.01
    made = {caught: [make_scored(i, Category.SAFETY_COMPLIANCE, routed=caught) for i in range(n)] for caught in (True, False)}
    verdicts = {}
    for loss in (0.0, 0.03):
        counts = Counter()
        for _ in range(trials):
            champion = rng.random(n) >= misses
            gained = ~champion & (rng.random(n) < disagreement / 2 / misses)
            lost = champion & (rng.random(n) < (disagreement / 2 + loss) / (1 - misses))
            mine = (champion | gained) & ~lost
            sides = [[made[bool(c)][i] for i, c in enumerate(side)] for side in (mine, champion)]
            counts[gate(*sides, [row.id for row in sides[0]], params)["verdict"]] += 1
        verdicts[loss] = counts
    assert verdicts[0.0]["PASS"] / trials >= 0.965 - 0.032
    assert verdicts[0.03]["PASS"] / trials <= 0.03 + 0.030


def test_through_files_a_good_prompt_is_promoted_and_a_forgetful_one_is_stopped(evaluated, capsys):
    good, bad = "classify-001_smollm2-135m", "classify-002_smollm2-135m"
    assert evals(evaluated, "gate", good) == 0
    assert evals(evaluated, "promote", good) == 0
    regate(evaluated)
    assert evals(evaluated, "gate", good) == 0  # the champion against itself
    capsys.readouterr()
    assert evals(evaluated, "gate", bad) == 1
    assert "FAIL" in capsys.readouterr().out
    assert evals(evaluated, "promote", bad) == 2
    board = json.loads((evaluated.reports / "leaderboard.json").read_text())
    assert [entry["candidate"] for entry in board["candidates"] if entry["champion"]] == [good]
    assert board["candidates"][0]["candidate"] == good


@pytest.mark.parametrize("spoil", ["truncated", "edited", "missing", "gone", "other candidate", "other data"])
def test_spoilt_files_fail_the_gate(evaluated, spoil, capsys):
    candidate = "classify-001_smollm2-135m"
    path = evaluated.report(candidate, "outcomes.jsonl")
    lines = path.read_text().splitlines()
    if spoil == "truncated":
        path.write_text("\n".join(lines)[:-200])
    elif spoil == "edited":
        path.write_text("\n".join(lines).replace('"routed_as_safety":false', '"routed_as_safety":true') + "\n")
    elif spoil == "missing":
        path.write_text("\n".join(lines[:-1]) + "\n")
    elif spoil == "gone":
        path.unlink()
    elif spoil == "other candidate":
        path.write_text(evaluated.report("classify-002_smollm2-135m", "outcomes.jsonl").read_text())
    else:
        gate_file = evaluated.datasets / "gate.jsonl"
        gate_file.write_text(gate_file.read_text().replace('"kind": "hard"', '"kind": "clear"', 1))
    assert evals(evaluated, "gate", candidate) == 1
    assert "FAIL" in capsys.readouterr().out


def test_one_verdict_stands_per_key_whatever_the_outcomes_say_later(evaluated, capsys):
    candidate = "classify-002_smollm2-135m"
    before = json.loads(evaluated.report(candidate, "verdict.json").read_text())
    assert before["judged"]
    # The same key, other outcomes: a model that answers otherwise when it is asked again, honestly scored and hashed.
    good, metrics = evaluated.report("classify-001_smollm2-135m", "outcomes.jsonl"), evaluated.report(candidate, "metrics.json")
    evaluated.report(candidate, "outcomes.jsonl").write_bytes(good.read_bytes())
    fields = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(fields | {"outcomes_sha256": hashlib.sha256(good.read_bytes()).hexdigest()}))
    assert evals(evaluated, "gate", candidate) == Verdict(before["verdict"]).exit_code
    after = judge_candidate(evaluated, evaluated.candidate(candidate))
    assert (after["verdict"], after["reasons"], after["key"]) == (before["verdict"], before["reasons"], before["key"])
    assert after["standing"] == "given before on other outcomes of the same key"


def test_a_verdict_on_spoilt_files_does_not_stand(evaluated):
    candidate = "classify-001_smollm2-135m"
    path = evaluated.report(candidate, "outcomes.jsonl")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert evals(evaluated, "gate", candidate, "--exit-zero") == 0
    assert json.loads(evaluated.report(candidate, "verdict.json").read_text())["verdict"] == "FAIL"
    path.write_text(whole)
    assert evals(evaluated, "gate", candidate) == 0


def test_each_part_of_a_key_makes_another_key(evaluated):
    candidate = evaluated.candidate("classify-001_smollm2-135m")
    keys = {judge_candidate(evaluated, candidate)["key"]}
    for name, old, new in (
        ("params.yaml", "delta: 0.03", "delta: 0.04"),
        ("prompts/classify-001.yaml", "Sort the message.", "Sort this message."),
        ("datasets/dev.jsonl", '"kind": "hard"', '"kind": "clear"'),
    ):
        path = evaluated.root / name
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        keys.add(judge_candidate(evaluated, candidate)["key"])
        path.write_text(text)
    assert len(keys) == 4


def test_the_stages_depend_on_the_code_that_the_key_names(root):
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    for stage in ("score", "score-local"):
        assert set(CODE) <= set(stages[stage]["deps"])


def test_a_damaged_ledger_is_an_error_with_its_line(evaluated, capsys):
    evaluated.verdicts.write_text(evaluated.verdicts.read_text() + "{\n")
    assert evals(evaluated, "gate", "classify-001_smollm2-135m") == 2
    assert "verdicts.jsonl:" in capsys.readouterr().err
