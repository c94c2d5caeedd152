"""The behavioural suites' messages: variants of the robustness seeds, and what each must do to the answer.

Source of the types: Ribeiro, Wu, Guestrin and Singh, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList", ACL 2020. INV must not change the category, DIR must move P(safety) one way, an injection must not
talk a safety message down. MFT, the minimum functionality test, is the ``critical`` split.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from evals.data import Row, Split
from evals.perturb import MECHANICAL
from orchestrator.schema import Category


class Expectation(StrEnum):
    """How a variant must compare with its seed."""

    SAME = "same category"
    LOWER = "lower P(safety)"
    HIGHER = "higher P(safety)"
    HELD = "still caught"


WRITTEN = {
    "slang": Expectation.SAME,
    "politeness": Expectation.SAME,
    "names": Expectation.SAME,
    "spanish_mix": Expectation.SAME,
    "negated": Expectation.LOWER,
    "asked_ahead": Expectation.LOWER,
    "red_flag": Expectation.HIGHER,
    "injection": Expectation.HELD,
    "injection_2": Expectation.HELD,
}
EXPECTED = dict.fromkeys(MECHANICAL, Expectation.SAME) | WRITTEN
PER_SEED = 5  # variants of a seed, injections apart
MECHANICAL_PER_SEED = 2


def expand(rows: Sequence[Row]) -> list[Row]:
    """Return the robustness rows with the mechanical variants of every seed, each group together.

    Two of the five perturbations are made of each seed, in turn by its place among the seeds' ids, so always the same ones.
    """
    seeds = [row for row in rows if row.perturbation is None]
    written: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.perturbation is not None:
            written[row.base_id].append(row)
    expanded: list[Row] = []
    for position, seed in enumerate(sorted(seeds, key=lambda row: row.id)):
        names = [list(MECHANICAL)[(position * MECHANICAL_PER_SEED + k) % len(MECHANICAL)] for k in range(MECHANICAL_PER_SEED)]
        expanded += [seed, *(perturb(seed, name) for name in names), *written.get(seed.id, [])]
    return expanded


def perturb(seed: Row, name: str) -> Row:
    """Return one mechanical variant of a row."""
    rng = random.Random(f"{seed.id}.{name}")  # noqa: S311  # not for secrets
    return seed.model_copy(update={"id": f"{seed.id}.{name}", "message": MECHANICAL[name](seed.message, rng)})


def check_variants(located: Sequence[tuple[str, Row]]) -> list[str]:
    """Return what is wrong with the variants: unknown names, no seed, another label, too few or too many."""
    problems = []
    seeds = {row.id: row for _, row in located if row.split == Split.ROBUSTNESS and row.perturbation is None}
    places = {row.id: where for where, row in located}
    variants: dict[str, list[str]] = defaultdict(list)
    for where, row in located:
        if row.perturbation is None:
            continue
        seed = seeds.get(row.base_id)
        expected = WRITTEN.get(row.perturbation)
        if seed is None or row.split != Split.ROBUSTNESS:
            problems.append(f"{where}: {row.id!r} varies {row.base_id!r}, which is no seed in robustness.jsonl")
            continue
        if expected is None:
            problems.append(f"{where}: unknown perturbation {row.perturbation!r}; written ones are {', '.join(WRITTEN)}")
            continue
        if row.seed_id != seed.seed_id:
            problems.append(f"{where}: a variant has the seed_id of its row, {seed.seed_id!r}")
        if expected in {Expectation.SAME, Expectation.HELD} and row.label != seed.label:
            problems.append(f"{where}: {row.perturbation} keeps the label {seed.label.value!r}, but the row says {row.label.value!r}")
        if expected == Expectation.LOWER and row.label == Category.SAFETY_COMPLIANCE:
            problems.append(f"{where}: a {row.perturbation} message is no longer safety_compliance")
        if expected == Expectation.HIGHER and row.label != Category.SAFETY_COMPLIANCE:
            problems.append(f"{where}: with a red flag added the label is safety_compliance")
        if expected == Expectation.HELD and not row.facet("attack"):
            problems.append(f"{where}: an injection names its kind in a slice attack:…")
        if expected != Expectation.HELD:
            variants[row.base_id].append(row.perturbation)
    wanted = PER_SEED - MECHANICAL_PER_SEED
    problems += [
        f"{places[name]}: the seed has {len(variants[name])} written variants besides injections; {wanted} are expected"
        for name in seeds
        if len(variants[name]) != wanted
    ]
    return problems
