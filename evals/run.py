"""Ask one candidate about every row: ``Row -> AnswerRow``. A failure is a row too."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from evals.data import Row, Split, load_split
from evals.errors import EvalError
from evals.progress import progress
from evals.variants import expand
from evals.workspace import Workspace, write_lines
from orchestrator.classify import ask
from orchestrator.llm import LLM
from orchestrator.prompts import Prompt, Renderer
from orchestrator.schema import Answer, Failure, FailureKind, Record

# What is fitted on and what is measured on. dev is for writing prompts: see `python -m evals run --dev`.
# sealed is for promotion alone.
EVALUATED = (Split.CALIBRATION, Split.GATE, Split.CRITICAL, Split.ROBUSTNESS)


class AnswerRow(Record):
    """What a candidate said of one row, before calibration."""

    id: str
    answer: Answer


def evaluated_rows(workspace: Workspace) -> list[Row]:
    """Return the rows to run on, the mechanical variants of the suites among them: all, or the sample that the parameters ask for."""
    rows: list[Row] = []
    for split in EVALUATED:
        loaded = load_split(workspace.datasets, split)
        rows += expand(loaded) if split == Split.ROBUSTNESS else loaded
    params = workspace.params()
    return rows if params.sample is None else sample(rows, params.sample, params.seed)


def sample(rows: Sequence[Row], size: int, seed: int) -> list[Row]:
    """Return about ``size`` rows, spread over split and label as the whole is, in the order of ``rows``.

    Whole seeds are drawn, so that a variant is never without the row it varies; a seed counts to the label it begins with.
    """
    seeds: dict[str, list[Row]] = {}
    for row in rows:
        seeds.setdefault(row.seed_id, []).append(row)
    groups: dict[tuple[str, str], list[list[Row]]] = {}
    for group in seeds.values():
        groups.setdefault((group[0].split.value, group[0].label.value), []).append(group)
    chosen: set[str] = set()
    for _, members in sorted(groups.items()):
        share = max(1, round(size * len(members) / len(rows)))
        chosen.update(group[0].seed_id for group in random.Random(seed).sample(members, min(share, len(members))))  # noqa: S311  # not for secrets
    return [row for row in rows if row.seed_id in chosen]


async def run(rows: Sequence[Row], prompt: Prompt, render: Renderer, llm: LLM, *, concurrency: int, title: str) -> list[AnswerRow]:
    """Return one answer per row, in the order of the rows, at most ``concurrency`` asked at once.

    A failure of kind quota ends the run: no further row is asked, those under way finish. Raises ``EvalError`` saying so.
    """
    answers: list[AnswerRow | None] = [None] * len(rows)
    waiting = iter(enumerate(rows))
    exhausted: list[Failure] = []

    async def work() -> None:
        for index, row in waiting:
            answer = await ask(row.as_message(), prompt, render, llm)
            if answer.failure and answer.failure.kind == FailureKind.QUOTA:
                exhausted.append(answer.failure)
                return
            answers[index] = AnswerRow(id=row.id, answer=answer)
            advance()
            if exhausted:
                return
            await asyncio.sleep(0)  # rows from the cache never wait: let Ctrl-C in between them

    with progress(title, len(rows)) as advance:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(rows))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:  # a missing key stops every worker alike: tell it once
            raise errors.exceptions[0] from None
    done = [answer for answer in answers if answer is not None]
    if exhausted:
        so_far = f"{len(done)} of {len(rows)} rows are done; every reply so far is kept, so the same command goes on from there"
        raise EvalError(f"{title}: {exhausted[0].detail}. {so_far}")
    return done


def write_answers(workspace: Workspace, candidate: str, answers: Sequence[AnswerRow]) -> None:
    """Write ``reports/<candidate>/answers.jsonl``, whole or not at all."""
    lines = (answer.model_dump_json(exclude_none=True) for answer in answers)
    write_lines(workspace.report(candidate, "answers.jsonl"), lines)
