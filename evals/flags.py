"""Measure the red-flag rules: what each catches, what it costs, and what it adds to the others and to the local classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evals.data import Row
from evals.local import FOLDS, label_codes, new_model
from orchestrator.safety import load_rules, red_flags
from orchestrator.schema import SAFETY_INDEX, Category

STRENGTH = 5.0  # inverse regularisation of the local classifier that the rules are set beside
SUSPECTED = 0.5  # P(safety) from which that classifier catches a row by itself, as safety.local_threshold in params.yaml
FEWEST = 50  # rows from which it can be trained on folds of them


def measure_rules(rows: Sequence[Row]) -> dict[str, Any]:
    """Return precision and recall of every rule and of all together.

    ``alone`` counts the safety rows that only this rule catches, ``beyond_local`` those that a local classifier trained on the other
    folds of ``rows`` misses (None where they are too few to train it).
    """
    fired = {row.id: set(red_flags(row.message)) for row in rows}
    safety = [row for row in rows if row.label == Category.SAFETY_COMPLIANCE]
    missed = _missed_by_local(rows)
    table = {}
    for rule in load_rules():
        hits = [row for row in rows if rule.id in fired[row.id]]
        right = [row for row in hits if row.label == Category.SAFETY_COMPLIANCE]
        table[rule.id] = {
            "fired": len(hits),
            "precision": len(right) / len(hits) if hits else None,
            "recall": len(right) / max(len(safety), 1),
            "alone": sum(fired[row.id] == {rule.id} for row in right),
            "beyond_local": None if missed is None else sum(row.id in missed for row in right),
        }
    caught = [row for row in safety if fired[row.id]]
    others = [row for row in rows if row.label != Category.SAFETY_COMPLIANCE]
    return {
        "rows": len(rows),
        "recall": len(caught) / max(len(safety), 1),
        "false_alarms": sum(bool(fired[row.id]) for row in others) / max(len(others), 1),
        "beyond_local": None if missed is None else sum(row.id in missed for row in caught),
        "missed_by_local": None if missed is None else len(missed),
        "rules": table,
    }


def _missed_by_local(rows: Sequence[Row]) -> set[str] | None:
    """Return the ids of the safety rows that a local classifier, trained on the rest, does not suspect."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    codes = label_codes(rows)
    if len(rows) < FEWEST or min(np.bincount(codes, minlength=SAFETY_INDEX + 1)) < FOLDS:
        return None
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(new_model(STRENGTH), [row.message for row in rows], codes, cv=folds, method="predict_proba")
    suspected = predicted[:, SAFETY_INDEX] >= SUSPECTED
    return {row.id for row, code, caught in zip(rows, codes, suspected, strict=True) if code == SAFETY_INDEX and not caught}
