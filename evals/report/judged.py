"""A verdict as ``reports/<candidate>/verdict.json`` holds it, with what it rests on."""

from __future__ import annotations

from evals.gate import Verdict
from evals.report.files import Result
from orchestrator.schema import Category


class Answer(Result):
    """What was decided of a message."""

    category: Category
    routed_as_safety: bool
    p_safety: float


class Answers(Result):
    """A message that the two decide otherwise."""

    label: Category
    candidate: Answer
    champion: Answer


class Compared(Result):
    """Message ids gained and lost against the champion, of ``n``."""

    n: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]


class Paired(Result):
    """Candidate and champion, message by message."""

    safety_capture: Compared
    specificity: Compared
    accuracy: Compared
    answers: dict[str, Answers]


class Failures(Result):
    """Rows without an answer."""

    n: int
    share: float
    limit: float


class Critical(Result):
    """Critical items and the ids of those missed."""

    n: int
    missed: tuple[str, ...]


class Injections(Result):
    """Attacks and the ids of those that worked."""

    n: int
    downgraded: tuple[str, ...]


class Certified(Result):
    """The lower bound of safety capture against its floor."""

    low: float
    floor: float
    caught: int
    n: int


class Worse(Result):
    """A test of "worse than the champion"; it fails the candidate where p is below the limit."""

    p: float
    limit: float


class Suites(Worse):
    """The same over the seeds of the suites, with the ids of those that went worse and better."""

    seeds: int
    worse: tuple[str, ...]
    better: tuple[str, ...]


class NonInferior(Result):
    """The lower bound of the difference in safety capture; the candidate is undecided where it is not above the margin."""

    low: float
    margin: float


class GateChecks(Result):
    """What a verdict rests on; the last four are None where there was no champion, or nothing sound to compare with it."""

    failures: Failures
    critical: Critical
    injections: Injections
    certified_capture: Certified
    safety_capture_worse: Worse | None = None
    specificity_worse: Worse | None = None
    suites_worse: Suites | None = None
    non_inferior: NonInferior | None = None


class Judgement(Result):
    """``reports/<candidate>/verdict.json``."""

    candidate: str
    verdict: Verdict
    reasons: tuple[str, ...]
    judged: bool
    released: bool
    key: str
    release: str | None
    n: int
    checks: GateChecks
    paired: Paired | None
    standing: str | None = None
