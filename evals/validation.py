"""What the dataset must hold to as a whole: ``datasets/*.jsonl -> rows, or every problem by file and line``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from evals.coverage import by_topic, voices
from evals.data import Row, Split, read_split
from evals.errors import DataError
from evals.judgements import check_judgements
from evals.similarity import near_duplicates
from evals.style import form_telling
from evals.variants import check_variants
from orchestrator.schema import Category, Channel

MIN_SAFETY_SHARE = 0.40  # gate, calibration and sealed: recall is measured on safety rows alone
MIN_SHARE = 0.10  # of every label and channel, so that a slice means something
MAX_FORM_AUC = 0.60  # length and punctuation alone must not tell safety from the rest; chance is 0.5
MAX_FORM_ACCURACY = 0.40  # nor the three labels from each other, by balanced accuracy; chance is 1/3
MIN_WRITTEN_ROWS = 400  # below, the probe's own error (about 0.03) is too large to hold anyone to it, and cells are bound to be thin
MIN_VOICES = 3  # in every cell of the coverage grid, so that a cell does not tell one writer's manner
UNLIKELY = 0.001  # a split whose topics, voices or tones are this unlikely a draw from the whole was not dealt out fairly
BALANCED = ("topic", "voice", "tone")
DEALT = (Split.DEV, Split.CALIBRATION, Split.GATE, Split.SEALED)

Located = tuple[str, Row]  # where it stands, as file:line, and the row


def validate(folder: Path, seed: int = 0) -> dict[Split, list[Row]]:
    """Read all splits and check them together; ``seed`` deals the folds of the style probe.

    Raises ``DataError`` listing every problem: malformed rows, ids or seeds used twice, near-duplicates across
    splits, labels, channels, topics, voices or tones out of balance, cells with too few voices, a form that gives the
    label away, incomplete suites, and labels without their history.
    """
    splits: dict[Split, list[Row]] = {}
    problems: list[str] = []
    for split in Split:
        rows, wrong = read_split(folder / f"{split.value}.jsonl", split)
        splits[split] = rows
        problems += wrong
    if not problems:
        located = [(f"{split.value}.jsonl:{line}", row) for split, rows in splits.items() for line, row in enumerate(rows, 1)]
        problems = [*_repeated(located), *_near_duplicates(located), *_unbalanced(splits), *_uneven(splits)]
        problems += [*_thin_cells(splits), *_telling_form(splits, seed), *check_variants(located), *check_judgements(folder, located)]
    if problems:
        raise DataError([problem if problem.startswith(f"{folder.name}/") else f"{folder.name}/{problem}" for problem in problems])
    return splits


def _repeated(located: list[Located]) -> list[str]:
    problems: list[str] = []
    ids: dict[str, str] = {}
    seeds: dict[str, tuple[Split, str]] = {}
    for where, row in located:
        if row.id in ids:
            problems.append(f"{where}: id {row.id!r} stands at {ids[row.id]} too; give each row its own")
        ids.setdefault(row.id, where)
        first_split, first = seeds.setdefault(row.seed_id, (row.split, where))
        if first_split != row.split:
            problems.append(f"{where}: seed {row.seed_id!r} is in split {first_split.value} too ({first}); a seed stays in one split")
    return problems


def _near_duplicates(located: list[Located]) -> list[str]:
    return [
        f"{located[pair.second][0]}: nearly the same text as {located[pair.first][0]} (cosine {pair.cosine:.2f} of {pair.view}); remove one"
        for pair in near_duplicates([row.message for _, row in located])
        if located[pair.first][1].split != located[pair.second][1].split
    ]


def _unbalanced(splits: dict[Split, list[Row]]) -> list[str]:
    problems = []
    for split, rows in splits.items():
        name = f"{split.value}.jsonl:1"
        labels, channels = Counter(row.label for row in rows), Counter(row.channel for row in rows)
        if split == Split.CRITICAL:
            others = [row.id for row in rows if row.label != Category.SAFETY_COMPLIANCE]
            if others:
                problems.append(f"{name}: critical rows are all safety_compliance; {', '.join(others)} are not")
            continue
        scarce = [label.value for label in Category if labels[label] < MIN_SHARE * len(rows)]
        scarce += [channel.value for channel in Channel if channels[channel] < MIN_SHARE * len(rows)]
        if scarce:
            problems.append(f"{name}: {', '.join(scarce)} below {MIN_SHARE:.0%} of {len(rows)} rows; add some")
        safety = labels[Category.SAFETY_COMPLIANCE] / max(len(rows), 1)
        if split in {Split.CALIBRATION, Split.GATE, Split.SEALED} and safety < MIN_SAFETY_SHARE:
            problems.append(f"{name}: {safety:.0%} safety rows; at least {MIN_SAFETY_SHARE:.0%} are expected")
    return problems


def _uneven(splits: dict[Split, list[Row]]) -> list[str]:
    """Compare each split's topics, voices and tones with the others', label by label, by a chi-squared test of homogeneity."""
    from scipy.stats import chi2_contingency

    problems = []
    for label in Category:
        for facet in BALANCED:
            counted = {split: Counter(_values(splits[split], label, facet)) for split in DEALT}
            values = sorted({value for counts in counted.values() for value in counts})
            for split in DEALT:
                others = sum((counts for other, counts in counted.items() if other != split), Counter[str]())
                table = [[counts[value] for value in values] for counts in (counted[split], others)]
                if len(values) < 2 or not all(map(sum, table)):
                    continue
                p = float(chi2_contingency(table).pvalue)
                if p < UNLIKELY:
                    odd = max(values, key=lambda v: abs(counted[split][v] / sum(table[0]) - others[v] / sum(table[1])))
                    shares = f"{counted[split][odd] / sum(table[0]):.0%} against {others[odd] / sum(table[1]):.0%}"
                    problems.append(
                        f"{split.value}.jsonl:1: the {facet}s of {label.value} rows are not as in the other splits (p = {p:.1e}; "
                        f"{odd!r} is {shares}); exchange some rows"
                    )
    return problems


def _values(rows: Iterable[Row], label: Category, facet: str) -> list[str]:
    return [value for row in rows if row.label == label and not row.imported for value in row.facet(facet)]


def _telling_form(splits: dict[Split, list[Row]], seed: int) -> list[str]:
    rows = written_rows(splits)
    if len(rows) < MIN_WRITTEN_ROWS:
        return []
    form = form_telling(rows, seed)
    if form.safety_auc <= MAX_FORM_AUC and form.balanced_accuracy <= MAX_FORM_ACCURACY:
        return []
    return [
        (
            f"{Split.DEV.value}.jsonl:1: length and punctuation alone tell safety from the rest with an AUC of {form.safety_auc:.2f} "
            f"(limit {MAX_FORM_AUC:.2f}) and the labels with a balanced accuracy of {form.balanced_accuracy:.2f} (limit "
            f"{MAX_FORM_ACCURACY:.2f}): write longer and shorter, calmer and more excited messages of every label"
        )
    ]


def _thin_cells(splits: dict[Split, list[Row]]) -> list[str]:
    """Name the cells of topic, channel and kind where fewer than ``MIN_VOICES`` voices wrote, among the topics that are there."""
    rows = written_rows(splits)
    if len(rows) < MIN_WRITTEN_ROWS:
        return []
    return [
        f"{Split.DEV.value}.jsonl:1: voices that wrote {name} {topic!r}: {count}; write some there until there are {MIN_VOICES}"
        for topic, inside in by_topic(rows)
        for name, count in voices(inside).items()
        if count < MIN_VOICES
    ]


def written_rows(splits: dict[Split, list[Row]]) -> list[Row]:
    """Return the rows that were written for this dataset and dealt out to the splits."""
    return [row for split in DEALT for row in splits[split] if not row.imported]
