"""Who labelled what, and how far they agree: ``datasets/labels.jsonl``, one judgement of one wording a line, the oldest first."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
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
    """What one judge made of one wording of a row, which ``text`` tells (see ``wording``).

    An adjudication and an audit give their reason, whether they change the label or not; a reader gives one where in doubt.
    """

    id: str
    label: Category
    by: str = Field(pattern=r"^(writer|reader|adjudicator|audit)$")
    text: str = Field(pattern=r"^[0-9a-f]{8}$")
    reason: str | None = None


def wording(message: str) -> str:
    """Return what tells one wording of a message from another: the first 8 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(message.encode()).hexdigest()[:8]


def load_judgements(folder: Path) -> list[Judgement]:
    """Read the history; raise ``DataError`` with file:line for every line that is wrong."""
    judgements, problems = _read(folder)
    if problems:
        raise DataError(problems)
    return [judgement for _, judgement in judgements]


def check_judgements(folder: Path, located: Iterable[tuple[str, Row]]) -> list[str]:
    """Return what is wrong with the history: unreadable lines, unknown rows and wordings, disputes left open, other last labels."""
    judgements, problems = _read(folder)
    rows = {row.id: (where, row) for where, row in located}
    worded: set[tuple[str, str]] = set()
    for number, judgement in judgements:
        if judgement.by == WRITER:
            worded.add((judgement.id, judgement.text))
        elif (judgement.id, judgement.text) not in worded:
            problems.append(f"{FILE}:{number}: no writer's label of wording {judgement.text} of {judgement.id!r} stands before it; add it")
        if judgement.id not in rows:
            problems.append(f"{FILE}:{number}: there is no row {judgement.id!r}; take the lines of a dropped row out with it")
        if judgement.by in {"adjudicator", "audit"} and not judgement.reason:
            problems.append(f"{FILE}:{number}: a judgement by {judgement.by} gives its reason; add it")
    history = by_row(judgement for _, judgement in judgements)
    for where, row in rows.values():
        if not row.imported:
            problems += [f"{where}: {problem}" for problem in _missing(of_wording(history.get(row.id, []), row), row)]
    return problems


def _missing(given: Sequence[Judgement], row: Row) -> Iterator[str]:
    """Say what a row's present wording still needs, with the line to append."""

    def line(by: str, **more: str) -> str:
        judged = Judgement(id=row.id, label=row.label, by=by, text=wording(row.message), **more)
        return f"append {judged.model_dump_json(exclude_none=True)}"

    if not given or given[0].by != WRITER:
        yield f"{FILE} holds no writer's label of this wording of {row.id!r}; {line(WRITER)}"
    elif final(given) != row.label:
        yield f"the label is {row.label.value!r}, but {FILE} ends with {final(given).value!r}; {line('audit', reason='WHY')}"
    elif disputed(given) and not any(judgement.by in {"adjudicator", "audit"} for judgement in given):
        yield f"a reader differs from the writer of {row.id!r} and nobody has decided; {line('adjudicator', reason='WHY')}"


def of_wording(history: Sequence[Judgement], row: Row) -> list[Judgement]:
    """Return the judgements of a row's present wording, the oldest first."""
    text = wording(row.message)
    return [judgement for judgement in history if judgement.text == text]


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


def disputed(given: Sequence[Judgement]) -> bool:
    """Say whether a reader differs from the writer, who comes first."""
    return any(judgement.by == "reader" and judgement.label != given[0].label for judgement in given)


def agreement(judgements: Iterable[Judgement], rows: Iterable[Row]) -> dict[str, Any]:
    """Return how far writers and blind readers agree on the present wordings, over all labels and for safety against the rest.

    The labels are the writers' and readers' own: what an adjudication or an audit made of them does not enter, and
    variants do not count, since they share their seed's. Krippendorff's alpha (nominal) takes the writer and every reader,
    Cohen's kappa the writer and the first reader; None where fewer than two rows or labels were used. Sources:
    Krippendorff, "Content Analysis", 2004; Cohen, 1960.
    """
    history = by_row(judgements)
    judged: list[list[float]] = []  # writer, then readers in order; NaN where there is no other
    open_to_doubt: list[str] = []
    for row in rows:
        given = of_wording(history.get(row.id, []), row)
        read = [CATEGORIES.index(judgement.label) for judgement in given if judgement.by == "reader"]
        if row.perturbation is not None or not read or given[0].by != WRITER:
            continue
        judged.append([CATEGORIES.index(given[0].label), *read])
        if disputed(given):
            open_to_doubt.append(row.id)
    judges = max(map(len, judged), default=2)
    codes = np.array([line + [np.nan] * (judges - len(line)) for line in judged], dtype=float).reshape(-1, judges).T
    safety = CATEGORIES.index(Category.SAFETY_COMPLIANCE)
    return {
        "rows": len(judged),
        "read_more_than_once": sum(len(line) > 2 for line in judged),
        "safety_candidates": int((codes == safety).any(axis=0).sum()),
        "disputed": open_to_doubt,
        "all_labels": _coefficients(codes),
        "safety_against_rest": _coefficients(np.where(np.isnan(codes), np.nan, codes == safety)),
    }


def rewritten(judgements: Iterable[Judgement]) -> set[str]:
    """Return the ids of the rows that a writer has worded anew."""
    return {name for name, history in by_row(judgements).items() if len({one.text for one in history if one.by == WRITER}) > 1}


def audited(judgements: Iterable[Judgement], rows: Iterable[Row]) -> set[str]:
    """Return the ids of the rows whose label was looked at again in the present wording, kept or changed."""
    history = by_row(judgements)
    return {row.id for row in rows if any(judgement.by == "audit" for judgement in of_wording(history.get(row.id, []), row))}


def errata(judgements: Iterable[Judgement]) -> list[dict[str, str]]:
    """Return every row whose label is no longer its first writer's, with who changed it last, and why."""
    changed = []
    for name, history in by_row(judgements).items():
        deciding = [judgement for judgement in history if judgement.by != "reader"]
        if deciding[-1].label != deciding[0].label:
            last = next(after for before, after in reversed([*itertools.pairwise(deciding)]) if after.label != before.label)
            why = last.reason or "worded anew"
            changed.append({"id": name, "was": deciding[0].label.value, "is": last.label.value, "by": last.by, "reason": why})
    return changed


def _coefficients(codes: Any) -> dict[str, float | None]:
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    def used(values: Any) -> int:
        return len(np.unique(values[~np.isnan(values)]))

    enough = codes.shape[1] >= 2
    alpha = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal") if enough and used(codes) > 1 else None
    kappa = cohen_kappa_score(codes[0], codes[1]) if enough and used(codes[:2]) > 1 else None
    return {
        "krippendorff_alpha": None if alpha is None else float(alpha),
        "cohen_kappa": None if kappa is None else float(kappa),
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
