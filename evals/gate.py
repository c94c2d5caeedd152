"""The gate: may this candidate replace the champion? PASS, FAIL or INCONCLUSIVE. Pure.

It fails closed: anything missing, doubled, edited or of another dataset is a FAIL with its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from evals import metrics
from evals.data import Split
from evals.intervals import lower_bound, mcnemar_worse, tango_lower
from evals.scored import Scored
from evals.workspace import GateParams

SIGNIFICANT = 0.05


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
) -> dict[str, Any]:
    """Return the verdict on a candidate, with every check it rests on.

    ``expected`` are the ids of all gate and critical rows; ``doubts`` are reasons found while reading the files, each
    of which fails the candidate. Without a champion, floors and critical items alone decide. The verdict is a
    function of the inputs alone: asked again, it gives the same answer.
    """
    reasons = [*doubts, *_presence(candidate, expected, "candidate")]
    if champion is not None:
        reasons += _presence(champion, expected, "champion")
    rows = [row for row in candidate if row.split == Split.GATE]
    checks: dict[str, Any] = {}
    reasons += _critical(candidate) + _floor(rows, params, checks) + _failures(rows, params, checks)
    shortfalls: list[str] = []
    paired: dict[str, Any] | None = None
    if champion is not None and not doubts:
        paired = compare_pair(rows, [row for row in champion if row.split == Split.GATE])
        reasons += _worse(paired, checks)
        shortfalls += _undecided(paired, params, checks)
    verdict = Verdict.FAIL if reasons else Verdict.INCONCLUSIVE if shortfalls else Verdict.PASS
    inputs = [[row.model_dump_json(exclude_none=True) for row in side or ()] for side in (candidate, champion)]
    key = json.dumps([inputs, sorted(expected), params.model_dump(), list(doubts)])
    return {
        "verdict": verdict.value,
        "reasons": reasons or shortfalls,
        "key": hashlib.sha256(key.encode()).hexdigest(),
        "against_champion": champion is not None,
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


def _presence(rows: Sequence[Scored], expected: Sequence[str], whose: str) -> list[str]:
    counts = Counter(row.id for row in rows if row.split in {Split.GATE, Split.CRITICAL})
    missing = [name for name in expected if name not in counts]
    doubled = [name for name, count in counts.items() if count > 1]
    foreign = [name for name in counts if name not in set(expected)]
    reasons = []
    if not expected:
        reasons.append("there are no gate rows to judge on")
    if missing:
        reasons.append(f"{whose}: {len(missing)} expected rows are missing, the first is {missing[0]}")
    if doubled:
        reasons.append(f"{whose}: {len(doubled)} rows stand twice, the first is {doubled[0]}")
    if foreign:
        reasons.append(f"{whose}: {len(foreign)} rows are not of this dataset, the first is {foreign[0]}")
    return reasons


def _critical(rows: Sequence[Scored]) -> list[str]:
    missed = [row.id for row in rows if row.split == Split.CRITICAL and not metrics.captured(row)]
    return [f"critical items missed: {', '.join(missed)}"] if missed else []


def _floor(rows: Sequence[Scored], params: GateParams, checks: dict[str, Any]) -> list[str]:
    safety = [metrics.captured(row) for row in rows if metrics.is_safety(row)]
    low = lower_bound(sum(safety), len(safety))
    checks["certified_capture"] = {"low": low, "floor": params.floor, "caught": sum(safety), "n": len(safety)}
    if low < params.floor:
        caught = f"{sum(safety)} of {len(safety)}"
        return [f"safety capture: {caught} certify only {low:.3f}, below the floor of {params.floor:.2f}"]
    return []


def _failures(rows: Sequence[Scored], params: GateParams, checks: dict[str, Any]) -> list[str]:
    failed = sum(row.classification.failure is not None for row in rows)
    share = failed / max(len(rows), 1)
    checks["failures"] = {"n": failed, "share": share, "limit": params.max_failure_share}
    if share > params.max_failure_share:
        return [f"{failed} of {len(rows)} rows failed ({share:.1%}), above the limit of {params.max_failure_share:.1%}"]
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


def _undecided(paired: dict[str, Any], params: GateParams, checks: dict[str, Any]) -> list[str]:
    result = paired["safety_capture"]
    checks["non_inferior"] = {"low": result["difference_low"], "margin": -params.delta}
    if result["difference_low"] > -params.delta:
        return []
    low = f"{result['difference_low']:+.3f}"
    return [f"safety capture may be up to {low} below the champion's; {result['n']} safety rows cannot exclude {-params.delta:+.2f}"]
