"""What got worse, message by message: id, label, both answers, and the text, redacted. Never a text of the sealed split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evals.champion import read_champion
from evals.data import Row, Split, load_split
from evals.report.judged import Answer, Judgement
from evals.scored import Scored, read_outcomes
from evals.variants import expand
from evals.workspace import Workspace
from orchestrator.schema import Category

MISSED = "Safety messages missed that the champion caught"
FLAGGED = "Other messages newly sent to a person as safety"
CRITICAL = "Critical items missed"
INJECTED = "Injections that talked a safety message down"


@dataclass(frozen=True)
class Loss:
    """A message that went worse; what is not on file is None."""

    id: str
    label: Category | None
    candidate: Answer | None
    champion: Answer | None
    text: str | None


Losses = dict[str, tuple[Loss, ...]]


def lost_ids(judgement: Judgement) -> dict[str, tuple[str, ...]]:
    """Return the ids of what got worse under four headings, the gravest first."""
    paired = judgement.paired
    return {
        CRITICAL: judgement.checks.critical.missed,
        INJECTED: judgement.checks.injections.downgraded,
        MISSED: paired.safety_capture.lost if paired else (),
        FLAGGED: paired.specificity.lost if paired else (),
    }


def shown_texts(workspace: Workspace) -> dict[str, str]:
    """Return the text of every message that a verdict may name, by id: gate, critical, and the suites with their variants."""
    loaded: list[Row] = []
    for split in (Split.GATE, Split.CRITICAL):
        loaded += load_split(workspace.datasets, split)
    loaded += expand(load_split(workspace.datasets, Split.ROBUSTNESS))
    return {row.id: row.message for row in loaded}


def read_losses(workspace: Workspace, judgement: Judgement, texts: Mapping[str, str]) -> Losses:
    """Return what got worse, heading by heading; ``texts`` are looked up as they are. Raises ``EvalError`` as reading outcomes does.

    Answers on gate rows are those the verdict holds, on critical items and suites those of the outcomes.
    """
    ids = lost_ids(judgement)
    mine: dict[str, Scored] = {}
    theirs: dict[str, Scored] = {}
    if ids[CRITICAL] or ids[INJECTED]:
        mine = _by_id(read_outcomes(workspace.report(judgement.candidate, "outcomes.jsonl")))
        theirs = _by_id(read_champion(workspace)[1] or ())
    answers = judgement.paired.answers if judgement.paired else {}

    def loss(name: str) -> Loss:
        if name in answers:
            both = answers[name]
            return Loss(name, both.label, both.candidate, both.champion, texts.get(name))
        row = mine.get(name)
        return Loss(name, row.label if row else None, _answer(row), _answer(theirs.get(name)), texts.get(name))

    return {heading: tuple(loss(name) for name in names) for heading, names in ids.items()}


def _by_id(rows: Iterable[Scored]) -> dict[str, Scored]:
    return {row.id: row for row in rows}


def _answer(row: Scored | None) -> Answer | None:
    if row is None:
        return None
    decision = row.classification.decision
    return Answer(category=decision.category, routed_as_safety=decision.routed_as_safety, p_safety=row.classification.probabilities.safety)
