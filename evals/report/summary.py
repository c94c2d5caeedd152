"""The verdicts as one JSON object for other programs, without any text of a message. Pure.

``schema`` is 1; it goes up when a field changes its meaning or goes, not when one is added. Keys stand in this order::

    {schema, split, n,
     champion: null or {candidate, release},
     candidates: [{candidate, prompt, model, verdict, reasons, judged, released, key, n,
                   checks: [{name, outcome, said}],
                   metrics: {<name>: {value, low, high, champion, change, change_low, change_high, relative, direction}},
                   gained: {safety_capture, specificity, accuracy}, lost: {the same},
                   critical_missed, injections_downgraded, suites_worse}]}

``verdict`` is PASS, FAIL or INCONCLUSIVE, and so is ``outcome``, which is null where a check could not be made. ``relative`` is the change
as a share of the champion's value, null where that is 0. ``direction`` is better, worse, same or unclear (the interval of the change
holds 0). ``gained`` and what follows are message ids. Candidates stand in the order of the leaderboard.
"""

from __future__ import annotations

import json
from typing import Any

from evals.gate import COMPARISONS
from evals.report.changes import Change, Changes, Metric
from evals.report.checks import checks_of

SCHEMA = 1


def summary(changes: Changes) -> str:
    """Return the object as indented JSON."""
    champion = changes.champion
    whole = {
        "schema": SCHEMA,
        "split": changes.split,
        "n": changes.n,
        "champion": {"candidate": champion.name, "release": champion.release} if champion else None,
        "candidates": [_candidate(change) for change in changes.candidates],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _candidate(change: Change) -> dict[str, Any]:
    judgement = change.judgement
    compared = {name: getattr(judgement.paired, name) for name in COMPARISONS if judgement.paired}
    suites = judgement.checks.suites_worse
    return {
        "candidate": change.candidate,
        "prompt": change.prompt,
        "model": change.model,
        "verdict": change.verdict.value,
        "reasons": list(judgement.reasons),
        "judged": judgement.judged,
        "released": judgement.released,
        "key": judgement.key,
        "n": judgement.n,
        "checks": [
            {"name": check.name, "outcome": check.outcome.value if check.outcome else None, "said": check.said}
            for check in checks_of(judgement)
        ],
        "metrics": {metric.figure.name: _metric(metric) for metric in change.metrics},
        "gained": {name: list(one.gained) for name, one in compared.items()},
        "lost": {name: list(one.lost) for name, one in compared.items()},
        "critical_missed": list(judgement.checks.critical.missed),
        "injections_downgraded": list(judgement.checks.injections.downgraded),
        "suites_worse": list(suites.worse) if suites else [],
    }


def _metric(metric: Metric) -> dict[str, Any]:
    change = metric.change
    return {
        **metric.candidate.model_dump(),
        "champion": metric.champion.value if metric.champion else None,
        "change": change.value if change else None,
        "change_low": change.low if change else None,
        "change_high": change.high if change else None,
        "relative": metric.relative,
        "direction": metric.direction.value if metric.direction else None,
    }
