"""The one call, put together: ``Message -> Classification``.

``ask`` is all that needs the LLM; ``judge`` is pure. The eval runner stores what ``ask`` returns and
``evals.score`` judges it later; production does both at once. It is the same code, so what is served is
what was evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orchestrator.calibration import BCTS, Beta, Calibrator, Fusion, Identity, VennAbers
from orchestrator.llm import LLM
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds, decide
from orchestrator.probabilities import read_answer
from orchestrator.prompts import Prompt, Renderer
from orchestrator.safety import red_flags
from orchestrator.schema import Answer, Asked, Classification, Message, Probabilities, Record, Source


class Tuning(Record):
    """What was fitted on the calibration split for one candidate."""

    calibrator: Annotated[Identity | BCTS | Beta | VennAbers | Fusion, Field(discriminator="kind")]
    local_calibrator: Calibrator
    thresholds: Thresholds


async def ask(message: Message, prompt: Prompt, render: Renderer, llm: LLM) -> Answer:
    """Ask the LLM once and return raw probabilities, or the failure in their place."""
    return read_answer(await llm(render(message)), prompt)


def judge(message: Message, answer: Answer, local: LocalClassifier, tuning: Tuning, asked: Asked) -> Classification:
    """Calibrate an answer and decide.

    ``asked`` is what gave the answer. A calibrator fitted for another prompt, model or source of probabilities is not used:
    the outcome says that it is not calibrated, and why.
    """
    uncalibrated_local = local(message.text)
    raw_local = uncalibrated_local.vector()[None, :]
    refused = tuning.local_calibrator.refuses(local.asked, Source.LOCAL)
    local_probabilities = uncalibrated_local if refused else _probabilities(tuning.local_calibrator.apply_rows(raw_local))
    if answer.probabilities is None or answer.source is None:
        probabilities, source = local_probabilities, Source.LOCAL
    else:
        source = answer.source
        raw = answer.probabilities.vector()[None, :]
        refused = refusal(tuning, asked, source, local.asked)
        probabilities = answer.probabilities if refused else _probabilities(calibrate(tuning, raw, raw_local))
    flags = red_flags(message.text)
    degraded = answer.probabilities is None
    decision = decide(
        probabilities,
        tuning.thresholds,
        red_flags=flags,
        local_safety=local_probabilities.safety,
        degraded=degraded,
    )
    return Classification(
        decision=decision,
        probabilities=probabilities,
        raw_probabilities=answer.probabilities,
        source=source,
        calibrated=refused is None,
        uncalibrated=refused,
        degraded=degraded,
        label_mass=answer.label_mass,
        rationale=answer.rationale,
        red_flags=flags,
        local_safety=local_probabilities.safety,
        failure=answer.failure,
        usage=answer.usage,
    )


def calibrate(tuning: Tuning, raw: NDArray[np.float64], raw_local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return calibrated probabilities of shape (n, 3) for the LLM's raw ones and the local classifier's, both (n, 3)."""
    calibrator = tuning.calibrator
    return calibrator.apply_rows(raw, raw_local) if isinstance(calibrator, Fusion) else calibrator.apply_rows(raw)


def refusal(tuning: Tuning, asked: Asked, source: Source, local: Asked) -> str | None:
    """Return why probabilities of this origin must not be calibrated with what was fitted; None where they may."""
    calibrator = tuning.calibrator
    return calibrator.refuses_with(asked, source, local) if isinstance(calibrator, Fusion) else calibrator.refuses(asked, source)


def _probabilities(rows: NDArray[np.float64]) -> Probabilities:
    return Probabilities.from_vector(rows[0])


@dataclass(frozen=True)
class Classifier:
    """A release, ready to classify."""

    prompt: Prompt
    render: Renderer
    llm: LLM
    local: LocalClassifier
    tuning: Tuning

    async def __call__(self, message: Message) -> Classification:
        """Classify one message; when the LLM fails the answer is degraded, never missing."""
        answer = await ask(message, self.prompt, self.render, self.llm)
        return judge(message, answer, self.local, self.tuning, self.render.asked)
