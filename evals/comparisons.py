"""What two releases decided about the same live messages: agreement, what only one of them routes as safety, who is right. Pure.

Labels are mostly given to what the champion doubts, so at large they would favour whoever differs from it. Only labels of the random
sample, which the ledger draws by the hash of the id, are judged by; others are counted. A comparison that was left out because the
service was busy is in no figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from evals.intervals import Estimate, proportion
from evals.pairs import mcnemar_two_sided
from orchestrator.schema import CATEGORIES, Category
from orchestrator.store.comparisons import Comparison, Pair
from orchestrator.store.entry import in_random_sample

Answers = Counter[tuple[bool, bool]]  # a yes or no of the champion and of the challenger, counted over messages


class Paired(BaseModel):
    """A yes or no of both on the same messages. ``p`` is two-sided, of McNemar's exact test that both say yes equally often."""

    model_config = ConfigDict(frozen=True)
    champion: Estimate
    challenger: Estimate
    only_champion: int
    only_challenger: int
    p: float


class Labelled(BaseModel):
    """What labels of the random sample say. ``others`` counts labelled messages outside of it."""

    model_config = ConfigDict(frozen=True)
    right: Paired
    safety_routed: Paired
    others: int


class Report(BaseModel):
    """Two releases on the same messages. ``table`` counts them by the champion's category, then by the challenger's.

    ``missed`` are the messages that the champion routes as safety and the challenger does not; ``added`` the reverse.
    """

    model_config = ConfigDict(frozen=True)
    champion: str
    challenger: str
    first: datetime | None
    last: datetime | None
    by_mode: dict[str, int]
    agreement: Estimate
    table: dict[Category, dict[Category, int]]
    safety: Paired
    missed: tuple[str, ...]
    added: tuple[str, ...]
    degraded: Paired
    labelled: Labelled


def compare(pair: Pair, comparisons: Iterable[Comparison], labels: Mapping[str, Category]) -> Report:
    """Return what the comparisons of two releases say; ``labels`` are those that people gave, by message.

    Memory holds counts, the ids of the messages that only one routes as safety, and the labelled messages.
    """
    times: list[datetime] = []
    modes: Counter[str] = Counter()
    cells: Counter[tuple[Category, Category]] = Counter()
    routed: Answers = Counter()
    degraded: Answers = Counter()
    agreed = 0
    only: dict[tuple[bool, bool], list[str]] = {(True, False): [], (False, True): []}
    known: list[Comparison] = []
    for one in comparisons:
        times = [min([*times[:1], one.created_at]), max([*times[1:], one.created_at])]
        modes[one.mode] += 1
        cells[one.champion.category, one.challenger.category] += 1
        routed[_routed(one)] += 1
        degraded[one.champion.degraded, one.challenger.degraded] += 1
        agreed += one.agree
        if _routed(one) in only:
            only[_routed(one)].append(one.request_id)
        if one.request_id in labels:
            known.append(one)
    return Report(
        champion=pair.champion,
        challenger=pair.challenger,
        first=times[0] if times else None,
        last=times[1] if times else None,
        by_mode=dict(modes),
        agreement=proportion(agreed, modes.total()),
        table={mine: {theirs: cells[mine, theirs] for theirs in CATEGORIES} for mine in CATEGORIES},
        safety=_paired(routed),
        missed=tuple(only[True, False]),
        added=tuple(only[False, True]),
        degraded=_paired(degraded),
        labelled=_labelled(known, labels),
    )


def _labelled(known: Sequence[Comparison], labels: Mapping[str, Category]) -> Labelled:
    drawn = [(one, labels[one.request_id]) for one in known if in_random_sample(one.request_id)]
    return Labelled(
        right=_paired(Counter((one.champion.category == label, one.challenger.category == label) for one, label in drawn)),
        safety_routed=_paired(Counter(_routed(one) for one, label in drawn if label == Category.SAFETY_COMPLIANCE)),
        others=len(known) - len(drawn),
    )


def _routed(one: Comparison) -> tuple[bool, bool]:
    return one.champion.routed_as_safety, one.challenger.routed_as_safety


def _paired(answers: Answers) -> Paired:
    both, mine, theirs, n = answers[True, True], answers[True, False], answers[False, True], answers.total()
    return Paired(
        champion=proportion(both + mine, n),
        challenger=proportion(both + theirs, n),
        only_champion=mine,
        only_challenger=theirs,
        p=mcnemar_two_sided(theirs, mine),
    )
