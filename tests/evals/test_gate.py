import json
import random

import pytest
from support import evals, make_scored, outcomes, refresh

from evals.data import Split
from evals.gate import Verdict, gate
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


def test_asking_again_gives_the_same_verdict_under_the_same_key():
    rows, champion = outcomes(caught=292, safety=300), outcomes(caught=296, safety=300)
    assert judged(rows, champion) == judged(rows, champion)
    assert judged(rows, champion)["key"] != judged(champion, champion)["key"]


def test_false_alarms_are_rare_and_real_losses_are_not_passed():
    rng = random.Random(0)
    verdicts = {"equal": [], "worse": []}
    for _ in range(60):
        champion = [rng.random() < 0.97 for _ in range(300)]
        for name, loss in (("equal", 0.0), ("worse", 0.05)):
            mine = [(c or rng.random() < 0.2) and rng.random() >= loss for c in champion]
            rows = [make_scored(i, Category.SAFETY_COMPLIANCE, routed=c) for i, c in enumerate(mine)]
            theirs = [make_scored(i, Category.SAFETY_COMPLIANCE, routed=c) for i, c in enumerate(champion)]
            verdicts[name].append(gate(rows, theirs, [r.id for r in rows], PARAMS)["verdict"])
    assert verdicts["equal"].count("FAIL") <= 6
    assert verdicts["worse"].count("PASS") <= 6


def test_through_files_a_good_prompt_is_promoted_and_a_forgetful_one_is_stopped(evaluated, capsys):
    good, bad = "classify-001_smollm2-135m", "classify-002_smollm2-135m"
    assert evals(evaluated, "gate", good) == 0
    assert evals(evaluated, "promote", good) == 0
    refresh(evaluated)
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
