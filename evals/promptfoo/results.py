"""Read promptfoo's JSON results back: every answer becomes the ``Scored`` row that our own runner would have made of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from evals.errors import EvalError
from evals.keys import differing
from evals.promptfoo import assertions
from evals.promptfoo.cases import Case, Suite, all_cases
from evals.promptfoo.subject import find_subject
from evals.scored import Scored
from evals.workspace import Workspace
from orchestrator.schema import Classification

AGAIN = "run `python -m evals promptfoo run` again"
Passed = dict[str, bool]  # by the case's id


class _Response(BaseModel):
    output: str
    metadata: dict[str, Any]


class _Result(BaseModel):
    vars: dict[str, str]
    success: bool
    response: _Response | None = None
    error: str | None = None


class _Stats(BaseModel):
    duration_ms: float = Field(alias="durationMs")


class _Results(BaseModel):
    results: list[_Result] = Field(min_length=1)
    stats: _Stats


class _Meta(BaseModel):
    version: str = Field(alias="promptfooVersion")


class _File(BaseModel):
    eval_id: str = Field(alias="evalId")
    results: _Results
    metadata: _Meta


@dataclass(frozen=True)
class Imported:
    """What a file of results says. ``outcomes`` are of the rows as they stand in the dataset, those under an attack are not among them."""

    subject: str
    of: dict[str, Any]
    outcomes: list[Scored]
    passed: Mapping[Suite, Passed]
    wall_s: float
    version: str
    eval_id: str
    sha256: str

    @property
    def cases(self) -> int:
        """How many cases were answered."""
        return sum(map(len, self.passed.values()))


def read_results(workspace: Workspace, path: Path) -> Imported:
    """Return the results of a file.

    Raises ``EvalError`` naming the file and what to do where it is no such file, where a case ended in an error, stands twice or is no
    case of this dataset, where answers are of more than one thing or of another than the candidate is now, and where an assertion's
    verdict does not follow from the answer it stands beside.
    """
    parsed, sha256 = _parse(path)
    results = parsed.results.results
    if broken := [one for one in results if one.response is None]:
        raise EvalError(
            f"{path}: {len(broken)} of {len(results)} cases have no answer, the first says {_first_line(broken[0].error)}: {AGAIN}"
        )
    of = _origin(path, results)
    subject = find_subject(workspace, str(of["candidate"]))
    if foreign := differing(subject.of, of):
        raise EvalError(f"{path}: the answers are of other {', '.join(foreign)} than {subject.id} has now: {AGAIN}")
    known = {case.id: case for case in all_cases(workspace)}
    passed: dict[Suite, Passed] = {}
    outcomes = []
    for result in results:
        case = _case(path, known, result)
        classification = _classification(path, case, result)
        if case.id in passed.setdefault(case.suite, {}):
            raise EvalError(f"{path}: case {case.id} stands twice: {AGAIN}, without --repeat")
        passed[case.suite][case.id] = result.success
        if case.attack is None:
            outcomes.append(Scored.of(case.row, classification, subject.model.cost_usd(classification.usage)))
    wall_s = parsed.results.stats.duration_ms / 1000
    return Imported(subject.id, of, outcomes, passed, wall_s, parsed.metadata.version, parsed.eval_id, sha256)


def _parse(path: Path) -> tuple[_File, str]:
    try:
        content = path.read_bytes()
    except OSError:
        raise EvalError(f"{path} is missing: `python -m evals promptfoo run CANDIDATE` writes it") from None
    try:
        return _File.model_validate_json(content), hashlib.sha256(content).hexdigest()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise EvalError(f"{path} holds no results of promptfoo ({where}: {first['msg']}): {AGAIN}") from None


def _origin(path: Path, results: list[_Result]) -> dict[str, Any]:
    """Return what all answers say they are the result of."""
    origins = [one.response.metadata.get("of") for one in results if one.response]
    of = origins[0]
    if not isinstance(of, dict) or "candidate" not in of:
        raise EvalError(f"{path}: the answers do not say what they are of; only those of evals/promptfoo/provider.py are taken in: {AGAIN}")
    if any(origin != of for origin in origins):
        count = len(Counter(map(str, origins)))
        raise EvalError(f"{path}: the answers are of {count} different states of prompt, model, data or code: {AGAIN}")
    return of


def _case(path: Path, known: Mapping[str, Case], result: _Result) -> Case:
    attack = result.vars.get("attack")
    name = result.vars.get("row", "") + (f"+{attack}" if attack else "")
    if name not in known:
        raise EvalError(f"{path}: {name!r} is no case of this dataset: {AGAIN}")
    return known[name]


def _classification(path: Path, case: Case, result: _Result) -> Classification:
    response = result.response
    assert response is not None  # noqa: S101  # for the type checker: results without one were refused
    try:
        found = Classification.model_validate_json(response.output)
    except ValidationError as error:
        raise EvalError(f"{path}: {case.id}: not a classification ({error.errors()[0]['msg']}): {AGAIN}") from None
    try:
        expected = grade(case, response.output, response.metadata)
    except (KeyError, TypeError):
        raise EvalError(f"{path}: {case.id} lacks the answer to the row that it varies: {AGAIN}") from None
    if expected != result.success:
        raise EvalError(f"{path}: {case.id} is marked {'passed' if result.success else 'failed'}, its answer says otherwise: {AGAIN}")
    return found


def grade(case: Case, output: str, metadata: Mapping[str, Any]) -> bool:
    """Return whether the suite's assertion holds for an answer."""
    context = {"metadata": dict(metadata), "vars": {"expectation": case.expectation and case.expectation.value}}
    grading = getattr(assertions, case.suite.value)(output, context)
    return bool(grading["pass"])


def _first_line(text: str | None) -> str:
    return repr((text or "nothing").strip().splitlines()[0][:200])
