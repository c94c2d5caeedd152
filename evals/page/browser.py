"""What the error browser of the page shows: every message with every candidate's answer, packed small."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from evals import metrics
from evals.data import Row
from evals.gate import COMPARED
from evals.scored import Scored
from orchestrator.schema import CATEGORIES, Category, Classification, Probabilities

PER_MILLE = 1000


def browsed(rows: Sequence[Row], outcomes: Mapping[str, Sequence[Scored]], champion: str | None) -> dict[str, Any]:
    """Return messages and answers as lists of columns, in the order of ``rows``.

    ``outcomes`` are by candidate; a message that a candidate has no answer for has null there. Only rows of the splits that
    candidates are compared on are shown: the sealed split never is.
    """
    shown = [row for row in rows if row.split in COMPARED]
    slices = sorted(
        {f"channel:{row.channel.value}" for row in shown} | {f"kind:{row.kind}" for row in shown} | {s for row in shown for s in row.slices}
    )
    place = {name: number for number, name in enumerate(slices)}
    return {
        "categories": [category.value for category in CATEGORIES],
        "candidates": list(outcomes),
        "champion": champion,
        "slices": slices,
        "rows": [
            [
                row.id,
                row.message,
                _number(row.label),
                row.split.value,
                sorted(place[name] for name in (f"channel:{row.channel.value}", f"kind:{row.kind}", *row.slices)),
            ]
            for row in shown
        ],
        "answers": {name: _answers(shown, found) for name, found in outcomes.items()},
    }


def packed(value: Any) -> str:
    """Return JSON, gzipped and in base 64; the same value gives the same text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _answers(rows: Sequence[Row], outcomes: Sequence[Scored]) -> list[list[Any] | None]:
    found = {row.id: row for row in outcomes}
    return [_answer(found[row.id]) if row.id in found else None for row in rows]


def _answer(row: Scored) -> list[Any]:
    """Return decided, caught (or, for other messages, flagged), calibrated and raw probabilities in per mille, path, rationale, failure."""
    judged: Classification = row.classification
    return [
        _number(judged.decision.category),
        int(metrics.captured(row)),
        _shares(judged.probabilities),
        _shares(judged.raw_probabilities),
        judged.decision.path,
        judged.rationale or "",
        judged.failure.kind.value if judged.failure else "",
    ]


def _shares(probabilities: Probabilities | None) -> list[int] | None:
    return None if probabilities is None else [round(PER_MILLE * share) for share in probabilities.vector().tolist()]


def _number(category: Category) -> int:
    return CATEGORIES.index(category)
