"""A system that was evaluated, put together again: a candidate as it was scored, or the released champion."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from evals.champion import current_release
from evals.data import load_examples
from evals.errors import EvalError
from evals.verdict import champion_report
from evals.workspace import Workspace, read_json
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.connect import open_classifier
from orchestrator.llm import Reply, Request
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import Failure


@dataclass(frozen=True)
class Replayed:
    """All of a system but its LLM: ``classifier`` has one that nobody may call. ``logged_as`` is the name of its run."""

    logged_as: str
    model: Model
    classifier: Classifier


def replayed(workspace: Workspace, candidate: str | None) -> Replayed:
    """Return a candidate as it was scored last, or the released champion for None.

    Raises ``EvalError`` for a candidate without an LLM, one that is not scored, and where there is no champion.
    """
    return _champion(workspace) if candidate is None else _candidate(workspace, candidate)


def _champion(workspace: Workspace) -> Replayed:
    release = current_release(workspace)
    measured = champion_report(workspace)
    if release is None or measured is None:
        raise EvalError("there is no champion: name a candidate with --candidate")
    board = read_json(workspace.reports / "leaderboard.json", "run `dvc repro`")
    shown = next((entry["candidate"] for entry in board["candidates"] if entry["champion"]), measured[0]["candidate"])
    return Replayed(shown, find_model(release.manifest.model), open_classifier(release, _nobody))


def _candidate(workspace: Workspace, name: str) -> Replayed:
    candidate = workspace.candidate(name)
    if candidate.prompt is None or candidate.model is None:
        raise EvalError(f"{name} asks no LLM, so there is no call to trace: name another candidate")
    prompt, model = load_prompt(workspace.prompts / f"{candidate.prompt}.yaml"), find_model(candidate.model)
    path = workspace.report(name, "tuning.json")
    try:
        tuning = Tuning.model_validate(read_json(path, "run `dvc repro`"))
    except ValidationError as error:
        raise EvalError(f"{path} is not a calibration ({error.errors()[0]['msg']}): run `dvc repro`") from None
    render = Renderer(prompt, model, load_examples(workspace.datasets))
    return Replayed(name, model, Classifier(prompt, render, _nobody, LocalClassifier.load(workspace.classifier), tuning))


async def _nobody(_: Request, /) -> Reply | Failure:
    raise AssertionError("the LLM is given where the messages are run")
