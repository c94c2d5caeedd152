"""Do promptfoo and our own runner say the same of the same messages? Answer by answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.promptfoo.cases import Suite
from evals.promptfoo.results import Imported
from evals.scored import Scored

TOLERANCE = 0.08  # of a probability: another processor rounds otherwise, and the embedded model is small


@dataclass(frozen=True)
class Agreement:
    """How two runs' answers to the same rows compare. ``largest`` is the largest difference of any of the three probabilities."""

    compared: int
    differing: tuple[str, ...]
    largest: float

    @property
    def share(self) -> float:
        """The share of rows answered alike; 0 where none was compared."""
        return 1 - len(self.differing) / self.compared if self.compared else 0.0


def agreement(mine: Sequence[Scored], theirs: Sequence[Scored], *, tolerance: float = TOLERANCE) -> Agreement:
    """Compare the rows that both have: category, whether routed as safety, failure, and the probabilities within ``tolerance``."""
    other = {row.id: row for row in theirs}
    both = [(row, other[row.id]) for row in mine if row.id in other]
    distances = [_distance(a, b) for a, b in both]
    differ = [a.id for (a, b), distance in zip(both, distances, strict=True) if _decided(a) != _decided(b) or distance > tolerance]
    return Agreement(len(both), tuple(differ), max(distances, default=0.0))


def promptfoo_summary(imported: Imported, compared: Agreement) -> dict[str, float]:
    """Return the figures of a run through promptfoo: cases and passes by suite, agreement with our runner, wall time in seconds."""
    figures: dict[str, float] = {"cases": imported.cases, "wall_s": imported.wall_s}
    for suite in Suite:
        if passed := imported.passed.get(suite):
            figures |= {f"{suite.value}_cases": len(passed), f"{suite.value}_passed": sum(passed.values())}
    figures |= {"compared": compared.compared, "agreement": compared.share, "largest_difference": compared.largest}
    return {name: float(value) for name, value in figures.items()}


def _decided(row: Scored) -> tuple[object, ...]:
    found = row.classification
    return found.decision.category, found.decision.routed_as_safety, found.failure is None


def _distance(a: Scored, b: Scored) -> float:
    return float(np.abs(a.classification.probabilities.vector() - b.classification.probabilities.vector()).max())
