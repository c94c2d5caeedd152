"""Which articles answer a row: ``datasets/articles*.jsonl``, read beside the rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from evals.data import Row, Split, load_split
from evals.errors import DataError
from orchestrator.knowledge_base import article_ids
from orchestrator.schema import Category

PATTERN = "articles*.jsonl"


@dataclass(frozen=True)
class LabelledRow:
    """An informational row and the articles that answer it, best first; none where the right thing is to abstain."""

    row: Row
    articles: tuple[str, ...]


def load_labelled(datasets: Path, split: Split) -> list[LabelledRow]:
    """Return the labelled informational rows of a split in file order; rows without a label are left out.

    Raises ``DataError`` with file:line for a label that is not valid, names an unknown article or row, or is given twice.
    """
    rows = {row.id: row for row in load_split(datasets, split) if row.label == Category.INFORMATIONAL}
    labels: dict[str, tuple[str, ...]] = {}
    problems = []
    for path in sorted(datasets.glob(PATTERN)):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                given = json.loads(line)
                name, of, articles = given["id"], given["split"], tuple(given["articles"])
            except (ValueError, KeyError, TypeError):
                problems.append(f'{path}:{number}: expected {{"id": "m0001", "split": "dev", "articles": ["article-id"]}}')
                continue
            if of != split.value:
                continue
            if unknown := [article for article in articles if article not in article_ids()]:
                problems.append(f"{path}:{number}: there is no article {unknown[0]!r}; use an id of orchestrator/knowledge")
            elif name not in rows:
                problems.append(f"{path}:{number}: {name} is no informational row of {split.value}")
            elif name in labels:
                problems.append(f"{path}:{number}: {name} is labelled twice; keep one line")
            labels[name] = articles
    if problems:
        raise DataError(problems)
    return [LabelledRow(row, labels[name]) for name, row in rows.items() if name in labels]
