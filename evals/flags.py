"""Measure the red-flag rules on dev: what each catches, what it costs, and what it adds to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.data import Row
from orchestrator.safety import load_rules, red_flags
from orchestrator.schema import Category


def measure_rules(rows: Sequence[Row]) -> dict[str, Any]:
    """Return precision and recall of every rule and of all together, and how many rows only that rule catches."""
    fired = {row.id: set(red_flags(row.message)) for row in rows}
    safety = [row for row in rows if row.label == Category.SAFETY_COMPLIANCE]
    table = {}
    for rule in load_rules():
        hits = [row for row in rows if rule.id in fired[row.id]]
        right = [row for row in hits if row.label == Category.SAFETY_COMPLIANCE]
        table[rule.id] = {
            "fired": len(hits),
            "precision": len(right) / len(hits) if hits else None,
            "recall": len(right) / max(len(safety), 1),
            "alone": sum(fired[row.id] == {rule.id} for row in right),
        }
    caught = sum(bool(fired[row.id]) for row in safety)
    others = [row for row in rows if row.label != Category.SAFETY_COMPLIANCE]
    return {
        "rows": len(rows),
        "recall": caught / max(len(safety), 1),
        "false_alarms": sum(bool(fired[row.id]) for row in others) / max(len(others), 1),
        "rules": table,
    }
