"""The rows of the benchmark as a task of Inspect. Runs in the environment that the benchmark makes: imports nothing of the project."""

import json
import os
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, generate

KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


def _turn(turn: dict[str, str]) -> ChatMessage:
    return KINDS[turn["role"]](content=turn["content"])


@scorer(metrics=[accuracy()])
def category() -> Scorer:
    """Score the category of the JSON that the model answers."""

    async def score(state: TaskState, target: Target) -> Score:
        answer = json.loads(state.output.completion)["category"]
        return Score(value="C" if answer == target.text else "I", answer=answer)

    return score


@task
def classify() -> Task:
    """Read the rows that ``ROWS`` names."""
    rows = [json.loads(line) for line in Path(os.environ["ROWS"]).read_text(encoding="utf-8").splitlines()]
    samples = [Sample(input=[_turn(turn) for turn in row["turns"]], target=row["wanted"]) for row in rows]
    return Task(dataset=samples, solver=generate(), scorer=category())
