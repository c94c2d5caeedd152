"""What stands behind an entry of the leaderboard."""

import shutil

from support import ROOT, evals

from evals.data import Split
from evals.results import read_board, read_results


def test_a_champion_that_no_candidate_equals_any_more_stands_beside_them(evaluated):
    shutil.copytree(ROOT / "orchestrator" / "champion", evaluated.champion)
    for verb in ("champion", "compare"):
        assert evals(evaluated, verb) == 0
    first = read_results(evaluated, read_board(evaluated))[0]
    assert first.entry["champion"]
    assert first.candidate not in evaluated.candidates()
    assert {row.split for row in first.outcomes} == {Split.GATE, Split.CRITICAL, Split.ROBUSTNESS}
