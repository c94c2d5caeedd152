"""The threshold below which the search answers nothing: chosen on dev and calibration, kept with its figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from evals.data import Split
from evals.workflows.article_labels import LabelledRow, load_labelled
from evals.workspace import replacing
from orchestrator.knowledge_base import KnowledgeBase, load_articles

CHOSEN_ON = (Split.DEV, Split.CALIBRATION)
RIGHT, ABSTAINED_RIGHTLY, ABSTAINED_WRONGLY, WRONG = 1, 1, 0, -1  # utility of one row: a wrong answer is worse than none


def utility(articles: Sequence[str], answer: str | None) -> int:
    """Return what one answer (None: abstained) is worth for a row that ``articles`` answer."""
    if answer is None:
        return ABSTAINED_WRONGLY if articles else ABSTAINED_RIGHTLY
    return RIGHT if answer in articles else WRONG


def choose_threshold(rows: Sequence[LabelledRow], kb: KnowledgeBase) -> dict[str, Any]:
    """Return the threshold of the highest mean utility on ``rows``, with the figures behind it.

    Of all thresholds between two neighbouring scores only the middle is tried; of equally good ones the highest is
    taken, which answers least. It is rounded to four places.
    """
    best = [next(iter(kb.rank(row.row.message, limit=1)), None) for row in rows]
    tops = sorted({0.0, 1.0, *(hit.score for hit in best if hit)})
    candidates = [round((low + high) / 2, 4) for low, high in pairwise(tops)]

    def answers(threshold: float) -> list[str | None]:
        return [hit.article.id if hit and hit.score >= threshold else None for hit in best]

    def total(threshold: float) -> int:
        return sum(utility(row.articles, answer) for row, answer in zip(rows, answers(threshold), strict=True))

    threshold = max(candidates, key=lambda candidate: (total(candidate), candidate))
    given = answers(threshold)
    return {
        "threshold": threshold,
        "objective": "mean utility: right answer 1, rightly none 1, none though an article answers 0, wrong answer -1",
        "chosen_on": [split.value for split in CHOSEN_ON],
        "rows": len(rows),
        "rows_without_article": sum(not row.articles for row in rows),
        "articles": len(kb.articles),
        "mean_utility": round(total(threshold) / len(rows), 4),
        "mean_utility_if_always_answered": round(total(0.0) / len(rows), 4),
        "answered": sum(answer is not None for answer in given),
        "answered_right": sum(answer in row.articles for row, answer in zip(rows, given, strict=True) if answer),
        "abstained": sum(answer is None for answer in given),
        "abstained_rightly": sum(answer is None and not row.articles for row, answer in zip(rows, given, strict=True)),
    }


def chosen_on(datasets: Path) -> list[LabelledRow]:
    """Return the rows the threshold is chosen on."""
    return [row for split in CHOSEN_ON for row in load_labelled(datasets, split)]


def store_threshold(datasets: Path, path: Path) -> dict[str, Any]:
    """Choose the threshold anew for the packaged articles, write it with its figures to ``path`` and return it."""
    chosen = choose_threshold(chosen_on(datasets), KnowledgeBase(load_articles(), threshold=0.0))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    return chosen
