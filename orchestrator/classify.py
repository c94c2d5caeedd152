"""The one call, put together: ``Message -> Classification``.

``ask`` is all that needs the LLM; ``judge`` is pure. The eval runner stores what ``ask`` returns and
``evals.score`` judges it later; production does both at once. It is the same code, so what is served is
what was evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.calibration import Calibrator
from orchestrator.llm import LLM
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds, decide
from orchestrator.probabilities import read_answer
from orchestrator.prompts import Prompt, Renderer
from orchestrator.safety import red_flags
from orchestrator.schema import Answer, Classification, Message, Record, Source


class Tuning(Record):
    """What was fitted on the calibration split for one candidate."""

    calibrator: Calibrator
    local_calibrator: Calibrator
    thresholds: Thresholds


async def ask(message: Message, prompt: Prompt, render: Renderer, llm: LLM) -> Answer:
    """Ask the LLM once and return raw probabilities, or the failure in their place."""
    return read_answer(await llm(render(message)), prompt)


def judge(message: Message, answer: Answer, local: LocalClassifier, tuning: Tuning) -> Classification:
    """Calibrate an answer and decide.

    A calibrator fitted for another source of probabilities is not used: the outcome says it is not calibrated.
    """
    local_probabilities = tuning.local_calibrator.apply(local(message.text))
    flags = red_flags(message.text)
    degraded = answer.probabilities is None
    calibrator = tuning.local_calibrator if degraded else tuning.calibrator
    source = Source.LOCAL if answer.source is None else answer.source
    usable = calibrator.kind != "identity" and calibrator.source == source
    if answer.probabilities is None:
        probabilities = local_probabilities
    else:
        probabilities = calibrator.apply(answer.probabilities) if usable else answer.probabilities
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
        calibrated=usable,
        degraded=degraded,
        label_mass=answer.label_mass,
        rationale=answer.rationale,
        red_flags=flags,
        local_safety=local_probabilities.safety,
        failure=answer.failure,
        usage=answer.usage,
    )


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
        return judge(message, answer, self.local, self.tuning)
