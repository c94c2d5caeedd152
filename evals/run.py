"""Ask one candidate about every row: ``Row -> AnswerRow``. A failure is a row too."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from evals.data import Row, Split, load_splits
from evals.progress import progress
from evals.workspace import Workspace, write_lines
from orchestrator.classify import ask
from orchestrator.llm import LLM
from orchestrator.prompts import Prompt, Renderer
from orchestrator.schema import Answer, Record

# What is fitted on and what is measured on. dev is for writing prompts: see `python -m evals run --split dev`.
EVALUATED = (Split.CALIBRATION, Split.GATE, Split.CRITICAL)


class AnswerRow(Record):
    """What a candidate said of one row, before calibration."""

    id: str
    answer: Answer


def evaluated_rows(workspace: Workspace) -> list[Row]:
    """Return the rows to run on, in file order: all, or the sample that the parameters ask for."""
    rows = load_splits(workspace.datasets, EVALUATED)
    params = workspace.params()
    return rows if params.sample is None else sample(rows, params.sample, params.seed)


def sample(rows: Sequence[Row], size: int, seed: int) -> list[Row]:
    """Return about ``size`` rows, spread over split and label as the whole is, in file order."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.split.value, row.label.value), []).append(row)
    chosen: set[str] = set()
    for _, group in sorted(groups.items()):
        share = max(1, round(size * len(group) / len(rows)))
        chosen.update(row.id for row in random.Random(seed).sample(group, min(share, len(group))))  # noqa: S311  # not for secrets
    return [row for row in rows if row.id in chosen]


async def run(rows: Sequence[Row], prompt: Prompt, render: Renderer, llm: LLM, *, concurrency: int, title: str) -> list[AnswerRow]:
    """Return one answer per row, in the order of the rows, at most ``concurrency`` asked at once."""
    gate = asyncio.Semaphore(concurrency)
    with progress(title, len(rows)) as advance:

        async def one(row: Row) -> AnswerRow:
            async with gate:
                answer = await ask(row.as_message(), prompt, render, llm)
            advance()
            return AnswerRow(id=row.id, answer=answer)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(row)) for row in rows]
        except BaseExceptionGroup as errors:  # a missing key stops every task alike: tell it once
            raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def write_answers(workspace: Workspace, candidate: str, answers: Sequence[AnswerRow]) -> None:
    """Write ``reports/<candidate>/answers.jsonl``, whole or not at all."""
    lines = (answer.model_dump_json(exclude_none=True) for answer in answers)
    write_lines(workspace.report(candidate, "answers.jsonl"), lines)
