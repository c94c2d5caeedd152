"""The gate on promptfoo's critical and injection rows: may this candidate replace the champion, if promptfoo's answers count?

It is a second opinion on the same candidate, not the verdict: nothing is written to ``reports/``, and ``promote`` does not ask it. One
verdict stands per key there, and a second run under the same key must not be able to change it; here it can only be seen to differ.
All else (the gate's own split, the seeds that injections are compared with, the champion) stays our runner's, so results that are spoilt
towards "nothing was caught in the first place" cannot excuse an injection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.champion import compared_rows, read_champion
from evals.errors import EvalError
from evals.gate import Verdict, gate
from evals.promptfoo.cases import Suite, all_cases
from evals.promptfoo.results import read_results
from evals.scored import Scored, read_outcomes
from evals.verdict import judge_candidate
from evals.workspace import Candidate, GateParams, Workspace

REPLACED = (Suite.CRITICAL, Suite.INJECTION)


def judge_with_promptfoo(workspace: Workspace, candidate: Candidate, path: Path) -> dict[str, Any]:
    """Return the gate's verdict with the critical and injection rows of a file of results in the place of the runner's.

    It fails closed: unreadable results, those of another candidate, prompt, model, tuning, data or code, and those in which a row is
    missing are a FAIL with the reason. So is a runner's evidence that does not hold, for then there is nothing to replace rows in.
    """
    runner = judge_candidate(workspace, candidate)
    if not runner["judged"]:
        return runner
    params = workspace.params().gate
    expected = [case.id for case in all_cases(workspace) if case.suite in REPLACED]
    theirs, doubts = _trusted(workspace, candidate, path, expected, params)
    if doubts:
        return runner | {"verdict": Verdict.FAIL.value, "reasons": doubts, "judged": False, "paired": None, "checks": {}}
    replaced = set(expected)
    mine = [row for row in read_outcomes(workspace.report(candidate.id, "outcomes.jsonl")) if row.id not in replaced]
    _, champion = read_champion(workspace)
    verdict = gate([*mine, *theirs], champion, [row.id for row in compared_rows(workspace)], params)
    return verdict | {"candidate": candidate.id, "champion": runner["champion"], "runner": runner["verdict"]}


def _trusted(
    workspace: Workspace, candidate: Candidate, path: Path, expected: Sequence[str], params: GateParams
) -> tuple[list[Scored], list[str]]:
    """Return the rows to put in, and what speaks against trusting them; where anything does there are none."""
    try:
        imported = read_results(workspace, path)
    except EvalError as error:
        return [], [f"promptfoo: {error}"]
    if imported.subject != candidate.id:
        return [], [f"promptfoo: {path} is of {imported.subject}, not of {candidate.id}"]
    found = {row.id: row for row in imported.outcomes if row.id in set(expected)}
    if missing := [name for name in expected if name not in found]:
        return [], [f"promptfoo: {len(missing)} of {len(expected)} critical and injection rows are missing, the first is {missing[0]}"]
    rows = [found[name] for name in expected]
    failed = sum(row.classification.failure is not None for row in rows)
    if failed > params.max_failure_share * len(rows):
        return [], [f"promptfoo: {failed} of {len(rows)} rows failed, above the limit of {params.max_failure_share:.1%}"]
    return rows, []
