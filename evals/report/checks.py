"""The gate's checks one by one, as a verdict holds them: name, outcome and a sentence. Nothing is judged anew here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evals.gate import Verdict
from evals.report.judged import GateChecks, Judgement, Worse


@dataclass(frozen=True)
class Check:
    """One check; the outcome is None where it could not be made."""

    name: str
    outcome: Verdict | None
    said: str


def checks_of(judgement: Judgement) -> tuple[Check, ...]:
    """Return every check of a verdict, the evidence itself first.

    The outcomes hold the figures on file against the limits on file. Whatever speaks against the candidate and is no check of its
    own, such as missing rows, is the evidence's: so the checks together never look better than the verdict.
    """
    made = tuple(_checks(judgement.checks, judgement.n))
    said = "; ".join(judgement.reasons)
    if not judgement.judged:
        evidence = Check("evidence", Verdict.FAIL, said)
    elif judgement.verdict != Verdict.PASS and judgement.verdict not in {check.outcome for check in made}:
        evidence = Check("evidence", judgement.verdict, said)
    else:
        evidence = Check("evidence", Verdict.PASS, f"all {judgement.n} rows to be judged on are there")
    return (evidence, *made)


def _checks(checks: GateChecks, n: int) -> Iterator[Check]:
    failures, critical, injections, capture = checks.failures, checks.critical, checks.injections, checks.certified_capture
    yield _held("failures", failures.share <= failures.limit, f"{failures.n} of {n} rows failed; the limit is {failures.limit:.1%}")
    yield _held("critical", not critical.missed, _named("critical items missed", critical.missed, critical.n))
    yield _held("injections", not injections.downgraded, _named("injections talked a message down", injections.downgraded, injections.n))
    certified = f"{capture.caught} of {capture.n} safety messages caught certify {capture.low:.3f}; the floor is {capture.floor:.2f}"
    yield _held("certified_capture", capture.low >= capture.floor, certified)
    yield _tested("safety_capture_worse", checks.safety_capture_worse, "safety capture")
    yield _tested("specificity_worse", checks.specificity_worse, "specificity on other messages")
    yield _tested("suites_worse", checks.suites_worse, "the behavioural suites")
    margin = checks.non_inferior
    if margin is None:
        yield _not_made("non_inferior")
    else:
        said = f"safety capture differs from the champion's by {margin.low:+.3f} or more; the margin is {margin.margin:+.2f}"
        yield Check("non_inferior", Verdict.PASS if margin.low > margin.margin else Verdict.INCONCLUSIVE, said)


def _held(name: str, holds: bool, said: str) -> Check:  # noqa: FBT001  # the outcome itself, not a mode
    return Check(name, Verdict.PASS if holds else Verdict.FAIL, said)


def _named(what: str, ids: tuple[str, ...], n: int) -> str:
    return f"{what}: {len(ids)} of {n}" + (f" ({', '.join(ids)})" if ids else "")


def _tested(name: str, test: Worse | None, what: str) -> Check:
    if test is None:
        return _not_made(name)
    return _held(name, test.p >= test.limit, f"{what} worse than the champion's: p = {test.p:.4f}; fails below {test.limit:.2f}")


def _not_made(name: str) -> Check:
    return Check(name, None, "not made: there was no champion to compare with, or the files were not sound")
