"""Verdicts of the gate itself on rows made to measure, and the changes they are told from."""

import json

from support import ROOT, make_scored, outcomes

from evals.gate import gate
from evals.report.changes import Change, Changes, metrics_of
from evals.report.files import Measured
from evals.report.judged import Judgement
from evals.workspace import GateParams, Workspace
from orchestrator.schema import Category

PROJECT = Workspace(ROOT)  # the committed results: only read
RATE = {"value": 0.9, "low": 0.8, "high": 0.95}


def measured(**values):
    """What was measured of a candidate, ``values`` apart."""
    rates = dict.fromkeys(("accuracy_system", "safety_recall", "safety_capture", "over_flag_rate"), RATE)
    numbers = {"nll_calibrated": 0.5, "brier_calibrated": 0.3, "usd_per_1000": 0.0, "latency_p50_s": 1.0, "latency_p95_s": 2.0}
    return Measured.model_validate(rates | numbers | values)


def judged(candidate="classify-001_m", *, mine=None, theirs=None):
    """A verdict of the gate itself on made rows; by default one that PASSes."""
    theirs = theirs or outcomes(caught=299, safety=300)
    mine = mine or theirs
    verdict = gate(mine, theirs, [row.id for row in theirs], GateParams(delta=0.03, floor=0.93, max_failure_share=0.02))
    return Judgement.model_validate(verdict | {"candidate": candidate, "released": False, "key": "k", "release": "r"})


def inconclusive():
    """Five safety messages lost and one gained of 300: neither worse by the test nor within the margin."""
    theirs = outcomes(caught=299, safety=300)
    changed = [make_scored(n, Category.SAFETY_COMPLIANCE, routed=n == 299) for n in (0, 1, 2, 3, 4, 299)]
    kept = [row for row in theirs if row.id not in {one.id for one in changed}]
    return judged(mine=changed + kept, theirs=theirs)


def made(*judgements, **values):
    """The changes that so many verdicts are of, without the champion's name; ``values`` are what was measured of each."""
    metrics = metrics_of(measured(**values), measured(), {})
    return Changes("gate", 400, None, tuple(Change(None, None, one, metrics) for one in judgements))


def worst():
    """The committed candidate with a prompt that lost most safety messages against the champion."""

    def lost(name):
        paired = json.loads(PROJECT.report(name, "verdict.json").read_text())["paired"]
        return len(paired["safety_capture"]["lost"]), len(paired["specificity"]["lost"])

    return max((name for name in PROJECT.candidates() if PROJECT.candidate(name).prompt), key=lost)
