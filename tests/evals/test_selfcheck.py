import json

import pytest
from support import evals, make_scored, outcomes

from evals.selfcheck import selfcheck
from evals.workspace import GateParams
from orchestrator.schema import Category

PARAMS = GateParams(delta=0.03, floor=0.93, max_failure_share=0.02)


def check(rows, trials=40):
    return selfcheck(rows, PARAMS, trials=trials, seed=1, advance=lambda: None)


def test_a_champion_against_itself_fails_rarely():
    report = check(outcomes(caught=297, safety=300, flagged=120, rest=400), trials=150)
    assert report["holds"]
    for found in report["pairings"].values():
        assert sum(one["value"] for one in found.values()) == pytest.approx(1.0)
        assert found["FAIL"]["low"] <= 0.05


def test_an_identical_pair_never_fails():
    assert check(outcomes(caught=297, safety=300, flagged=120, rest=400))["pairings"]["identical"]["PASS"]["value"] == 1.0


def test_the_check_can_fail():
    """A champion at the floor is failed by the floor in many resamples, and the check says so."""
    assert not check(outcomes(caught=286, safety=300, flagged=10))["holds"]


def test_the_same_seed_gives_the_same_report():
    rows = outcomes(caught=295, safety=300, flagged=30)
    assert check(rows) == check(rows)


def test_without_rows_of_both_kinds_there_is_nothing_to_check():
    with pytest.raises(ValueError, match="safety and other rows"):
        check([make_scored(1, Category.SAFETY_COMPLIANCE, routed=True)])


def test_the_command_prints_the_rates_and_exits_by_them(evaluated_once, promoted_once, capsys):
    assert evals(evaluated_once, "selfcheck", "--trials", "5") == 2
    assert "there is no champion" in capsys.readouterr().err
    assert json.loads((promoted_once.reports / "champion" / "champion.json").read_text())["release"]
    assert evals(promoted_once, "selfcheck", "--trials", "20") == 0
    assert "hold the limit of 5%" in capsys.readouterr().out
