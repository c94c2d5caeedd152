"""Who is asked: a candidate with its tuning, or the released champion, ready to be put over an LLM."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from evals.champion import FOLDER as CHAMPION
from evals.champion import compared_data, current_release
from evals.data import load_examples
from evals.errors import EvalError
from evals.keys import code_digest, result_parts
from evals.run import evaluated_rows
from evals.workspace import Candidate, Workspace, read_json
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.connect import open_classifier
from orchestrator.llm import LLM
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Renderer, load_prompt

REMEDY = "run `dvc repro`"


@dataclass(frozen=True)
class Subject:
    """A classifier that lacks only its LLM. ``of`` is what its answers are the result of: the runner's key and the tuning."""

    id: str
    model: Model
    of: dict[str, Any]
    over: Callable[[LLM], Classifier]


def find_subject(workspace: Workspace, name: str) -> Subject:
    """Return the champion, under that name, or the candidate of an id.

    Raises ``EvalError`` where there is none, where it has not been scored, or where there is no LLM in it to be asked.
    """
    return _champion(workspace) if name == CHAMPION else _candidate(workspace, workspace.candidate(name))


def _candidate(workspace: Workspace, candidate: Candidate) -> Subject:
    if candidate.prompt is None or candidate.model is None:
        raise EvalError(f"{candidate.id} asks no LLM: promptfoo is given candidates with a prompt, or {CHAMPION!r}")
    prompt, model = load_prompt(workspace.prompts / f"{candidate.prompt}.yaml"), find_model(candidate.model)
    render = Renderer(prompt, model, load_examples(workspace.datasets))
    path = workspace.report(candidate.id, "tuning.json")
    try:
        tuning = Tuning.model_validate(read_json(path, REMEDY))
    except ValidationError as error:
        raise EvalError(f"{path} is no tuning ({error.errors()[0]['msg']}): {REMEDY}") from None
    of = result_parts(workspace, candidate, evaluated_rows(workspace), render.asked, model)
    of["tuning"] = hashlib.sha256(path.read_bytes()).hexdigest()
    local = LocalClassifier.load(workspace.classifier)
    return Subject(candidate.id, model, of, lambda llm: Classifier(prompt, render, llm, local, tuning))


def _champion(workspace: Workspace) -> Subject:
    release = current_release(workspace)
    if release is None:
        raise EvalError("there is no champion: promote a candidate first, or name a candidate")
    model = find_model(release.manifest.model)
    asked = Renderer(release.prompt, model, release.examples).asked
    of = {
        "candidate": CHAMPION,
        "release": release.manifest.id,
        "prompt": asked.prompt,
        "model": asked.model,
        "data": compared_data(workspace),
        "code": code_digest(),
    }
    return Subject(CHAMPION, model, of, lambda llm: open_classifier(release, llm))
