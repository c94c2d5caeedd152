"""How often the gate fails a candidate that is the champion itself: an A/A check on resampled pairs. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from evals import metrics
from evals.data import Split
from evals.gate import Verdict, gate
from evals.intervals import proportion
from evals.scored import Scored
from evals.workspace import GateParams

LIMIT = 0.05  # of equal pairs, no more may FAIL
# Pairs are made anew for each trial by drawing the champion's rows with replacement within label; the two sides then
#   identical:   answer alike, as two runs of a deterministic model do;
#   independent: are drawn apart, so that they have the champion's rates and disagree as much as equals can.
PAIRINGS = ("identical", "independent")


def selfcheck(champion: Sequence[Scored], params: GateParams, *, trials: int, seed: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Return, per pairing, how often resampled champion-against-champion pairs got each verdict, with exact intervals.

    ``champion`` are its outcomes on the gate split; critical items and suites are no matter of sampling and are left out.
    ``holds`` says whether no more than 5 % of all pairs fail. Raises ``ValueError`` without rows of both kinds.
    """
    rows = [row for row in champion if row.split == Split.GATE]
    safety, others = [r for r in rows if metrics.is_safety(r)], [r for r in rows if not metrics.is_safety(r)]
    if not safety or not others:
        raise ValueError("it takes safety and other rows of the gate split")
    rng = random.Random(seed)  # noqa: S311  # not for secrets
    report: dict[str, Any] = {"trials": trials, "limit": LIMIT, "pairings": {}}
    for pairing in PAIRINGS:
        verdicts = []
        for _ in range(trials):
            mine = _resampled(rng, safety, others)
            theirs = mine if pairing == "identical" else _resampled(rng, safety, others)
            verdicts.append(gate(mine, theirs, [row.id for row in mine], params)["verdict"])
            advance()
        report["pairings"][pairing] = {v.value: proportion(verdicts.count(v.value), trials).model_dump() for v in Verdict}
    report["holds"] = all(found[Verdict.FAIL]["value"] <= LIMIT for found in report["pairings"].values())
    return report


def _resampled(rng: random.Random, *strata: Sequence[Scored]) -> list[Scored]:
    """Return as many rows of each stratum, drawn with replacement and numbered anew."""
    drawn = [row for stratum in strata for row in rng.choices(stratum, k=len(stratum))]
    return [row.model_copy(update={"id": f"r{number}", "seed_id": f"r{number}"}) for number, row in enumerate(drawn)]
