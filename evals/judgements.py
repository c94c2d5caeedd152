"""Who labelled what: ``datasets/labels.jsonl``, one judgement a line, the oldest first, and how far the judges agree.

The file is append-only: it is the label history and the log of errata. A row's label is its writer's, or that of the
last adjudication or audit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from evals.data import Row
from evals.errors import DataError
from orchestrator.schema import CATEGORIES, Category, Record

FILE = "labels.jsonl"
WRITER = "writer"


class Judgement(Record):
    """What one judge made of one row. A change of the label, and an audit that kept it, give their reason."""

    id: str
    label: Category
    by: str = Field(pattern=r"^(writer|reader|adjudicator|audit)$")
    reason: str | None = None


def load_judgements(folder: Path) -> list[Judgement]:
    """Read the history; raise ``DataError`` with file:line for every line that is wrong."""
    judgements, problems = _read(folder)
    if problems:
        raise DataError(problems)
    return [judgement for _, judgement in judgements]


def check_judgements(folder: Path, located: Iterable[tuple[str, Row]]) -> list[str]:
    """Return what is wrong with the history: unreadable lines, unknown rows, rows without a writer, other last labels."""
    judgements, problems = _read(folder)
    history: dict[str, list[Judgement]] = {}
    rows = {row.id: (where, row) for where, row in located}
    for number, judgement in judgements:
        if judgement.id not in rows:
            problems.append(f"{FILE}:{number}: there is no row {judgement.id!r}; a judgement is of a row in a split")
        if judgement.by in {"adjudicator", "audit"} and not judgement.reason:
            problems.append(f"{FILE}:{number}: a judgement by {judgement.by} gives its reason")
        history.setdefault(judgement.id, []).append(judgement)
    for where, row in rows.values():
        if row.imported:
            continue
        given = history.get(row.id, [])
        if not given or given[0].by != WRITER:
            problems.append(f"{where}: {FILE} does not begin the history of {row.id!r} with its writer's label")
        elif final(given) != row.label:
            problems.append(f"{where}: the label is {row.label.value!r}, but {FILE} ends with {final(given).value!r}")
    return problems


def final(history: Sequence[Judgement]) -> Category:
    """Return the label in force: the last adjudication or audit, or the writer's. A reader alone changes nothing."""
    deciding = [judgement for judgement in history if judgement.by != "reader"]
    return deciding[-1].label


def by_row(judgements: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    """Return the judgements of each row, the oldest first."""
    history: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        history.setdefault(judgement.id, []).append(judgement)
    return history


def agreement(judgements: Iterable[Judgement]) -> dict[str, Any]:
    """Return how far writers and blind readers agree, over all three labels and for safety against the rest.

    Krippendorff's alpha (nominal) and Cohen's kappa on the rows that both have labelled, before adjudication;
    None where fewer than two rows or labels were used. Sources: Krippendorff, "Content Analysis", 2004; Cohen, 1960.
    """
    pairs = []
    for history in by_row(judgements).values():
        read = [judgement for judgement in history if judgement.by == "reader"]
        if read and history[0].by == WRITER:
            pairs.append((CATEGORIES.index(history[0].label), CATEGORIES.index(read[0].label)))
    codes = np.array(pairs, dtype=int).reshape(-1, 2).T
    safety = CATEGORIES.index(Category.SAFETY_COMPLIANCE)
    return {
        "rows": len(pairs),
        "safety_candidates": int((codes == safety).any(axis=0).sum()),
        "agreed": int((codes[0] == codes[1]).sum()),
        "all_labels": _coefficients(codes),
        "safety_against_rest": _coefficients((codes == safety).astype(int)),
    }


def errata(judgements: Iterable[Judgement]) -> list[dict[str, str]]:
    """Return every row whose label was changed after its writer, with the reason of the last change."""
    changed = []
    for name, history in by_row(judgements).items():
        if final(history) != history[0].label:
            last = [judgement for judgement in history if judgement.by != "reader"][-1]
            entry = {"id": name, "was": history[0].label.value, "is": last.label.value, "by": last.by, "reason": last.reason or ""}
            changed.append(entry)
    return changed


def _coefficients(codes: Any) -> dict[str, float | None]:
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    if codes.shape[1] < 2 or len(np.unique(codes)) < 2:
        return {"krippendorff_alpha": None, "cohen_kappa": None}
    return {
        "krippendorff_alpha": float(krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")),
        "cohen_kappa": float(cohen_kappa_score(codes[0], codes[1])),
    }


def _read(folder: Path) -> tuple[list[tuple[int, Judgement]], list[str]]:
    path = folder / FILE
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{FILE}:1: cannot be read as UTF-8 text ({error})"]
    judgements, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            judgements.append((number, Judgement.model_validate(json.loads(line))))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(f"{FILE}:{number}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
        except ValueError as error:
            problems.append(f"{FILE}:{number}: not a JSON object ({error})")
    return judgements, problems
