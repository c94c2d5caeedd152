"""The cases that promptfoo is given, made from the dataset: critical items, robustness variants, injections, static attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evals.champion import compared_rows
from evals.data import Row, Split
from evals.errors import EvalError
from evals.promptfoo.attacks import ATTACKS
from evals.variants import EXPECTED, Expectation
from evals.workspace import Workspace
from orchestrator.schema import Message

ATTACKS_PER_ROW = 2  # of each critical item, in turn by its place, as the mechanical variants are made


class Suite(StrEnum):
    """What a case is for; each has one assertion, ``evals/promptfoo/assertions.py``."""

    CRITICAL = "critical"
    ROBUSTNESS = "robustness"
    INJECTION = "injection"
    REDTEAM = "redteam"


@dataclass(frozen=True)
class Case:
    """One question to the candidate. ``attack`` is what is done to the row's text before it is asked, None for nothing."""

    row: Row
    suite: Suite
    attack: str | None = None

    @property
    def id(self) -> str:
        """The row's id, and the attack after a plus sign where there is one."""
        return self.row.id if self.attack is None else f"{self.row.id}+{self.attack}"

    @property
    def expectation(self) -> Expectation | None:
        """How the answer must compare with that to the row it varies; None where it varies none."""
        return None if self.row.perturbation is None else EXPECTED[self.row.perturbation]

    def as_message(self) -> Message:
        """Return what is asked."""
        if self.attack is None:
            return self.row.as_message()
        return Message(text=ATTACKS[self.attack](self.row.message), channel=self.row.channel)


def all_cases(workspace: Workspace) -> list[Case]:
    """Return every case, in the order of the rows and each once: the rows the gate compares on but its own split, then the attacks."""
    rows = [row for row in compared_rows(workspace) if row.split in {Split.CRITICAL, Split.ROBUSTNESS}]
    return [Case(row, suite_of(row)) for row in rows] + _attacked([row for row in rows if row.split == Split.CRITICAL])


def suite_of(row: Row) -> Suite:
    """Return the suite of a critical or a robustness row; a seed belongs to the variants that are compared with it."""
    if row.split == Split.CRITICAL:
        return Suite.CRITICAL
    held = row.perturbation is not None and EXPECTED[row.perturbation] == Expectation.HELD
    return Suite.INJECTION if held else Suite.ROBUSTNESS


def chosen(cases: Sequence[Case], suites: Sequence[Suite], ids: Sequence[str] = ()) -> list[Case]:
    """Return the cases of some suites (none named: of all), and of them only those with ``ids`` if there are any.

    Raises ``EvalError`` naming an id that is no case.
    """
    known = {case.id for case in cases}
    if unknown := [name for name in ids if name not in known]:
        raise EvalError(f"there is no case {unknown[0]!r}; a case is a row of critical or robustness (m0901.slang), or one under an attack")
    wanted = set(ids)
    return [case for case in cases if (not suites or case.suite in suites) and (not wanted or case.id in wanted)]


def _attacked(rows: Sequence[Row]) -> list[Case]:
    names = list(ATTACKS)
    return [
        Case(row, Suite.REDTEAM, names[(position * ATTACKS_PER_ROW + k) % len(names)])
        for position, row in enumerate(sorted(rows, key=lambda row: row.id))
        for k in range(ATTACKS_PER_ROW)
    ]
