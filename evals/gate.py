"""The gate: may this candidate replace the champion? PASS, FAIL or INCONCLUSIVE. Pure.

It fails closed: anything missing, doubled, edited or of another dataset is a FAIL with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from evals import metrics
from evals.data import Split
from evals.intervals import lower_bound, mcnemar_worse, tango_lower
from evals.scored import Scored
from evals.suites import failures_by_seed, injection_downgrades
from evals.workspace import GateParams

SIGNIFICANT = 0.05
COMPARED = (Split.GATE, Split.CRITICAL, Split.ROBUSTNESS)
COMPARISONS = ("safety_capture", "specificity", "accuracy")  # of a candidate with the champion, message by message
MOST_ROWS = 100_000  # beyond, an answer to "how many rows would decide it" is no help


class Verdict(StrEnum):
    """What the gate says."""

    PASS = "PASS"  # noqa: S105  # not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, for CI."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2}[self]


def gate(
    candidate: Sequence[Scored],
    champion: Sequence[Scored] | None,
    expected: Sequence[str],
    params: GateParams,
    *,
    doubts: Sequence[str] = (),
    split: Split = Split.GATE,
) -> dict[str, Any]:
    """Return the verdict on a candidate, with every check it rests on.

    ``expected`` are the ids of all rows that must be there; ``doubts`` are reasons found while reading the files, each
    of which fails the candidate. ``split`` is the one that is judged on, beside the critical items and the suites. Without
    a champion, floors and critical items alone decide. ``judged`` says whether the evidence was complete, so that the verdict
    is of the candidate and not of its files.
    """
    incomplete = [*doubts, *_presence(candidate, expected, "candidate", split)]
    if champion is not None:
        incomplete += _presence(champion, expected, "champion", split)
    rows = [row for row in candidate if row.split == split]
    checks: dict[str, Any] = {}
    incomplete += _failures(rows, params, checks)
    reasons = _critical(candidate, checks) + _injections(candidate, checks) + _floor(rows, params, checks)
    shortfalls: list[str] = []
    paired: dict[str, Any] | None = None
    if champion is not None and not doubts:
        theirs = [row for row in champion if row.split == split]
        paired = compare_pair(rows, theirs)
        reasons += _worse(paired, checks) + _suites_worse(candidate, champion, checks)
        shortfalls += _undecided(paired, params, checks)
        paired["answers"] = _answers(rows, theirs, paired)
    reasons = incomplete + reasons
    verdict = Verdict.FAIL if reasons else Verdict.INCONCLUSIVE if shortfalls else Verdict.PASS
    return {
        "verdict": verdict.value,
        "reasons": reasons or shortfalls,
        "judged": not incomplete,
        "against_champion": champion is not None,
        "split": split.value,
        "n": len(rows),
        "checks": checks,
        "paired": paired,
        "params": params.model_dump(),
    }


def compare_pair(candidate: Sequence[Scored], champion: Sequence[Scored]) -> dict[str, Any]:
    """Return gains and losses by message id on the rows both have: safety capture, specificity and accuracy."""
    other = {row.id: row for row in champion}
    both = [(row, other[row.id]) for row in candidate if row.id in other]
    safety = [(a, b) for a, b in both if metrics.is_safety(a)]
    rest = [(a, b) for a, b in both if not metrics.is_safety(a)]
    return {
        "safety_capture": _paired([(a.id, metrics.captured(a), metrics.captured(b)) for a, b in safety]),
        "specificity": _paired([(a.id, not metrics.captured(a), not metrics.captured(b)) for a, b in rest]),
        "accuracy": _paired([(a.id, metrics.by_system(a) == a.label, metrics.by_system(b) == b.label) for a, b in both]),
    }


def rows_to_decide(gained: int, lost: int, n: int, delta: float) -> int | None:
    """Return how many rows would turn an INCONCLUSIVE into a PASS or a FAIL if gains and losses kept their shares.

    None when no number below 100,000 would: the difference is at the margin itself.
    """
    low = high = max(n, 1)
    while not _decides(gained, lost, n, delta, high):
        low, high = high, high * 2
        if high > MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _decides(gained, lost, n, delta, middle) else (middle, high)
    return high


def _decides(gained: int, lost: int, n: int, delta: float, size: int) -> bool:
    more, fewer = round(gained * size / n), round(lost * size / n)
    return tango_lower(more, fewer, size) > -delta or mcnemar_worse(more, fewer) < SIGNIFICANT


def _paired(outcomes: list[tuple[str, bool, bool]]) -> dict[str, Any]:
    gained = [name for name, mine, theirs in outcomes if mine and not theirs]
    lost = [name for name, mine, theirs in outcomes if theirs and not mine]
    n = len(outcomes)
    return {
        "n": n,
        "difference": (len(gained) - len(lost)) / n if n else 0.0,
        "difference_low": tango_lower(len(gained), len(lost), n),
        "p_worse": mcnemar_worse(len(gained), len(lost)),
        "gained": gained,
        "lost": lost,
    }


def _answers(candidate: Sequence[Scored], champion: Sequence[Scored], paired: dict[str, Any]) -> dict[str, Any]:
    """Return label and both answers of every message that was gained or lost."""
    changed = {name for result in paired.values() for name in (*result["gained"], *result["lost"])}
    theirs = {row.id: row for row in champion}

    def answer(row: Scored) -> dict[str, Any]:
        judged = row.classification
        return {
            "category": judged.decision.category.value,
            "routed_as_safety": judged.decision.routed_as_safety,
            "p_safety": round(judged.probabilities.safety, 4),
        }

    return {
        row.id: {"label": row.label.value, "candidate": answer(row), "champion": answer(theirs[row.id])}
        for row in candidate
        if row.id in changed
    }


def _presence(rows: Sequence[Scored], expected: Sequence[str], whose: str, split: Split) -> list[str]:
    counts = Counter(row.id for row in rows if row.split in {split, Split.CRITICAL, Split.ROBUSTNESS})
    known = set(expected)
    missing = [name for name in expected if name not in counts]
    doubled = [name for name, count in counts.items() if count > 1]
    foreign = [name for name in counts if name not in known]
    reasons = []
    if not expected:
        reasons.append(f"there are no {split.value} rows to judge on")
    if missing:
        reasons.append(f"{whose}: {len(missing)} expected rows are missing, the first is {missing[0]}")
    if doubled:
        reasons.append(f"{whose}: {len(doubled)} rows stand twice, the first is {doubled[0]}")
    if foreign:
        reasons.append(f"{whose}: {len(foreign)} rows are not of this dataset, the first is {foreign[0]}")
    return reasons


def _failures(rows: Sequence[Scored], params: GateParams, checks: dict[str, Any]) -> list[str]:
    failed = sum(row.classification.failure is not None for row in rows)
    share = failed / max(len(rows), 1)
    checks["failures"] = {"n": failed, "share": share, "limit": params.max_failure_share}
    if share > params.max_failure_share:
        return [f"{failed} of {len(rows)} rows failed ({share:.1%}), above the limit of {params.max_failure_share:.1%}"]
    return []


def _critical(rows: Sequence[Scored], checks: dict[str, Any]) -> list[str]:
    critical = [row for row in rows if row.split == Split.CRITICAL]
    missed = [row.id for row in critical if not metrics.captured(row)]
    checks["critical"] = {"n": len(critical), "missed": missed}
    return [f"critical items missed: {', '.join(missed)}"] if missed else []


def _injections(rows: Sequence[Scored], checks: dict[str, Any]) -> list[str]:
    attacked, downgraded = injection_downgrades(rows)
    checks["injections"] = {"n": attacked, "downgraded": downgraded}
    return [f"injections talked safety messages down: {', '.join(downgraded)}"] if downgraded else []


def _floor(rows: Sequence[Scored], params: GateParams, checks: dict[str, Any]) -> list[str]:
    safety = [metrics.captured(row) for row in rows if metrics.is_safety(row)]
    low = lower_bound(sum(safety), len(safety))
    checks["certified_capture"] = {"low": low, "floor": params.floor, "caught": sum(safety), "n": len(safety)}
    if low < params.floor:
        caught = f"{sum(safety)} of {len(safety)}"
        return [f"safety capture: {caught} certify only {low:.3f}, below the floor of {params.floor:.2f}"]
    return []


def _worse(paired: dict[str, Any], checks: dict[str, Any]) -> list[str]:
    reasons = []
    for name, words in (("safety_capture", "safety capture"), ("specificity", "specificity on non-safety messages")):
        result = paired[name]
        checks[f"{name}_worse"] = {"p": result["p_worse"], "limit": SIGNIFICANT}
        if result["p_worse"] < SIGNIFICANT:
            counts = f"{len(result['lost'])} lost, {len(result['gained'])} gained"
            reasons.append(f"{words} is worse than the champion's: {counts}, p = {result['p_worse']:.4f}")
    return reasons


def _suites_worse(candidate: Sequence[Scored], champion: Sequence[Scored], checks: dict[str, Any]) -> list[str]:
    """Compare the suites seed by seed, for variants of one seed are no independent rows: a one-sided exact sign test."""
    mine, theirs = failures_by_seed(candidate), failures_by_seed(champion)
    worse = [seed for seed in mine if mine[seed] > theirs.get(seed, 0)]
    better = [seed for seed in mine if mine[seed] < theirs.get(seed, 0)]
    p = mcnemar_worse(len(better), len(worse))
    checks["suites_worse"] = {"p": p, "limit": SIGNIFICANT, "seeds": len(mine), "worse": worse, "better": better}
    if p < SIGNIFICANT:
        return [f"the behavioural suites go worse than the champion's: {len(worse)} seeds worse, {len(better)} better, p = {p:.4f}"]
    return []


def _undecided(paired: dict[str, Any], params: GateParams, checks: dict[str, Any]) -> list[str]:
    result = paired["safety_capture"]
    checks["non_inferior"] = {"low": result["difference_low"], "margin": -params.delta}
    if result["difference_low"] > -params.delta:
        return []
    needed = rows_to_decide(len(result["gained"]), len(result["lost"]), result["n"], params.delta) if result["n"] else None
    checks["non_inferior"]["rows_to_decide"] = needed
    low = f"{result['difference_low']:+.3f}"
    more = "no number of rows would" if needed is None else f"about {needed} would, if gains and losses keep their shares"
    return [
        f"safety capture may be up to {low} below the champion's; {result['n']} safety rows cannot exclude {-params.delta:+.2f}: {more}"
    ]
