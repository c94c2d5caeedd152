"""How well the search finds the article that answers, and says nothing where none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evals.bootstrap import clustered, interval, replicate
from evals.data import Split
from evals.intervals import Estimate, proportion
from evals.workflows.abstention import CHOSEN_ON, choose_threshold, chosen_on, store_threshold, utility
from evals.workflows.article_labels import LabelledRow, load_labelled
from evals.workflows.plain_bm25 import MIN_SCORE, PlainBM25
from orchestrator.knowledge_base import Features, KnowledgeBase, load_articles

__all__ = ["choose_threshold", "evaluate", "render", "store_threshold"]

SPLITS = (Split.DEV, Split.GATE)
DEPTH = 10  # articles looked at for the reciprocal rank; a later one counts 0
SEED = 20261126  # of the resamples behind the intervals of means
MEASURES = ("hit_at_1", "hit_at_3", "mrr", "answer_precision", "abstention_precision", "abstention_recall", "utility")
LEGEND = """{articles} articles; an answer needs a score of {threshold}, chosen on {splits_chosen_on}. 95 % intervals; n in brackets.

Hits and MRR: rows that an article answers. Answer precision: of the answers given, the right ones. Abstention precision: of the rows
left unanswered, those that no article answers; its recall: of those, the ones left unanswered. Utility: the mean of 1 for a right
answer or a rightful abstention, 0 for an abstention though an article answers, -1 for a wrong answer."""
VARIANTS = {
    "all": Features(),
    "without synonyms": Features(synonyms=False),
    "without stemming": Features(stemming=False),
    "without typos": Features(typos=False),
    "none of them": Features(synonyms=False, stemming=False, typos=False),
}


@dataclass(frozen=True)
class Found:
    """What a search gave for one row: the ranking, and the answer (None: abstained)."""

    row: LabelledRow
    ranking: tuple[str, ...]
    answer: str | None

    @property
    def reciprocal_rank(self) -> float:
        """1 / the rank of the first labelled article, 0 beyond ``DEPTH``."""
        return next((1 / rank for rank, article in enumerate(self.ranking, 1) if article in self.row.articles), 0.0)


def evaluate(datasets: Path) -> dict[str, Any]:
    """Return the figures of the packaged search: per split with slices, against plain BM25, and per feature on dev.

    Splits without labels in ``articles*.jsonl`` are left out. Raises ``DataError`` when a label is not valid.
    """
    articles = load_articles()
    splits = {split: rows for split in SPLITS if (rows := load_labelled(datasets, split))}
    now, before = KnowledgeBase(articles), PlainBM25(articles)
    found = {split: [_search(now, row) for row in rows] for split, rows in splits.items()}
    return {
        "articles": len(articles),
        "threshold": now.threshold,
        "threshold_chosen_on": [split.value for split in CHOSEN_ON],
        "splits": {split.value: measures(each) for split, each in found.items()},
        "before": {split.value: measures([_search_before(before, row) for row in rows]) for split, rows in splits.items()},
        "slices": {split.value: _slices(each) for split, each in found.items()},
        "held_out": {split.value: _held_out(now, rows) for split, rows in splits.items()},
        "ablation": _ablation(datasets, splits.get(Split.DEV, [])),
    }


def measures(found: Sequence[Found]) -> dict[str, Any]:
    """Return every measure with its interval; exact for shares, resampled for the two means (MRR, utility)."""
    answerable = [each for each in found if each.row.articles]
    answered = [each for each in found if each.answer is not None]
    abstained = [each for each in found if each.answer is None]
    without = [each for each in found if not each.row.articles]
    estimates = {
        "hit_at_1": proportion(sum(each.reciprocal_rank == 1 for each in answerable), len(answerable)),
        "hit_at_3": proportion(sum(each.reciprocal_rank >= 1 / 3 for each in answerable), len(answerable)),
        "mrr": _mean(answerable, lambda each: each.reciprocal_rank, (0.0, 1.0)),
        "answer_precision": proportion(sum(each.answer in each.row.articles for each in answered), len(answered)),
        "abstention_precision": proportion(sum(not each.row.articles for each in abstained), len(abstained)),
        "abstention_recall": proportion(sum(each.answer is None for each in without), len(without)),
        "utility": _mean(found, lambda each: float(utility(each.row.articles, each.answer)), (-1.0, 1.0)),
    }
    return {name: estimates[name].model_dump() for name in MEASURES}


def render(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        LEGEND.format(**figures, splits_chosen_on=" and ".join(figures["threshold_chosen_on"])),
        "",
        "### Now, and plain BM25 before",
        "",
        *_table(
            ("split", "search"),
            {(split, name): figures[key][split] for split in figures["splits"] for name, key in (("now", "splits"), ("before", "before"))},
        ),
        "",
        "### What each addition brings (dev)",
        "",
        "Each variant has its own best threshold on the same rows, so the last two columns flatter all of them alike.",
        "",
        *_table(
            ("search",),
            {(name,): each for name, each in figures["ablation"].items()},
            ("hit_at_1", "hit_at_3", "mrr", "answer_precision", "utility"),
        ),
        "",
        "### By language and channel",
        "",
        *_table(
            ("split", "slice"),
            {(split, name): each for split, slices in figures["slices"].items() for name, each in slices.items()},
        ),
        "",
        "### With the answer taken away",
        "",
        "Each row that articles answer is asked again as if those articles did not exist; the right thing is then to abstain.",
        "",
        "| split | abstained |",
        "|---|---|",
        *(f"| {split} | {_cell(each)} |" for split, each in figures["held_out"].items()),
    ]
    return "\n".join(lines) + "\n"


def _search(kb: KnowledgeBase, row: LabelledRow, threshold: float | None = None) -> Found:
    hits = kb.rank(row.row.message, limit=DEPTH)
    least = kb.threshold if threshold is None else threshold
    answer = hits[0].article.id if hits and hits[0].score >= least else None
    return Found(row, tuple(hit.article.id for hit in hits), answer)


def _search_before(plain: PlainBM25, row: LabelledRow) -> Found:
    ranking = plain.rank(row.row.message)
    answer = ranking[0][0] if ranking and ranking[0][1] >= MIN_SCORE else None
    return Found(row, tuple(article for article, _ in ranking), answer)


def _slices(found: Sequence[Found]) -> dict[str, Any]:
    """Return the measures by language and by channel."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        for name in (*(f"language {value}" for value in each.row.row.facet("lang")), f"channel {each.row.row.channel.value}"):
            groups.setdefault(name, []).append(each)
    return {name: measures(group) for name, group in sorted(groups.items())}


def _ablation(datasets: Path, dev: Sequence[LabelledRow]) -> dict[str, Any]:
    """Return the measures on dev with single features turned off, each at the threshold chosen as for the whole search."""
    figures = {}
    for name, features in VARIANTS.items():
        kb = KnowledgeBase(load_articles(), features=features)
        threshold = choose_threshold(chosen_on(datasets), kb)["threshold"]
        figures[name] = measures([_search(kb, row, threshold) for row in dev])
    return figures


def _held_out(kb: KnowledgeBase, rows: Sequence[LabelledRow]) -> dict[str, Any]:
    """Return the share of answerable rows left unanswered once the articles that answer them are disregarded."""
    answerable = [row for row in rows if row.articles]
    scores = [
        next((hit.score for hit in kb.rank(row.row.message, limit=DEPTH) if hit.article.id not in row.articles), 0.0) for row in answerable
    ]
    return proportion(sum(score < kb.threshold for score in scores), len(scores)).model_dump()


def _mean(found: Sequence[Found], value: Callable[[Found], float], bounds: tuple[float, float]) -> Estimate:
    """Return the mean with the percentile interval of a bootstrap over seeds."""
    if not found:
        return Estimate(value=None, low=bounds[0], high=bounds[1], n=0)
    values = np.array([value(each) for each in found])
    clusters = clustered([each.row.row.seed_id for each in found], seed=SEED)
    totals = clusters.sums(np.column_stack([values, np.ones(len(values))]))  # (clusters, 2): sum and count
    draws = replicate(lambda counts: (counts @ totals[:, :1]) / (counts @ totals[:, 1:]), clusters, seed=SEED)
    return interval(float(values.mean()), draws[:, 0], n=len(found), seeds=len(clusters), open_range=bounds)


def _table(keys: Sequence[str], rows: Mapping[tuple[str, ...], Mapping[str, Any]], names: Sequence[str] = MEASURES) -> list[str]:
    heads = [*keys, *(name.replace("_at_", "@").replace("_", " ").replace("mrr", "MRR") for name in names)]
    body = [f"| {' | '.join([*key, *(_cell(each[name]) for name in names)])} |" for key, each in rows.items()]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *body]


def _cell(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}] ({estimate['n']})"
