"""Apply a fitted calibrator to raw probabilities. Fitting is done in ``evals.calibrate`` and ``evals.fuse``."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orchestrator.schema import Asked, Record, Source

FLOOR = 1e-6
Triple = tuple[float, float, float]
Rows = NDArray[np.float64]


class Fitted(Record):
    """What every calibrator says of itself: what it was fitted on, and why it is as it is.

    It is valid for one prompt, model and source of probabilities and for no other.
    """

    asked: Asked
    source: Source
    n: int = Field(default=0, ge=0)
    reason: str = ""

    def refuses(self, asked: Asked, source: Source) -> str | None:
        """Return why probabilities of this origin must not be calibrated with it; None where they may."""
        if asked.model != self.asked.model:
            return "the calibrator was fitted for another model"
        if asked.prompt != self.asked.prompt:
            return "the calibrator was fitted for another prompt or other examples"
        if source != self.source:
            return f"the calibrator was fitted for probabilities of source {self.source.value}, these are {source.value}"
        return None


class Identity(Fitted):
    """No calibration: too few rows, or none that helps. Outcomes say that they are not calibrated."""

    kind: Literal["identity"] = "identity"

    def refuses(self, asked: Asked, source: Source) -> str | None:
        """Return why nothing is calibrated."""
        return super().refuses(asked, source) or f"no calibrator was accepted: {self.reason}"

    def apply_rows(self, rows: Rows) -> Rows:
        """Return the probabilities as they are; shape (n, 3)."""
        return rows


class BCTS(Fitted):
    """Bias-corrected temperature scaling: ``softmax(log p / T + b)`` with the last bias fixed at 0.

    Source: Alexandari, Kundaje and Shrikumar, "Maximum likelihood with bias-corrected calibration is
    hard-to-beat at label shift adaptation", ICML 2020.
    """

    kind: Literal["bcts"] = "bcts"
    temperature: float = Field(gt=0)
    bias: Triple

    def apply_rows(self, rows: Rows) -> Rows:
        """Return calibrated probabilities of shape (n, 3) for raw ones of shape (n, 3)."""
        return softmax(_logs(rows) / self.temperature + np.array(self.bias))


class Beta(Fitted):
    """Beta calibration of each category against the rest, ``sigmoid(a log p - b log(1 - p) + c)``, normalised.

    Source: Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017; one against the rest as in Zadrozny and Elkan, 2002.
    """

    kind: Literal["beta"] = "beta"
    parameters: tuple[Triple, Triple, Triple]  # (a, b, c) by category, a and b not negative

    def apply_rows(self, rows: Rows) -> Rows:
        """Return calibrated probabilities of shape (n, 3) for raw ones of shape (n, 3)."""
        a, b, c = np.array(self.parameters).T
        scores = a * _logs(rows) - b * _logs(1.0 - rows) + c
        return normalised(1.0 / (1.0 + np.exp(-scores)))


class Steps(Record):
    """Two functions of a new score, one for each hypothesis on its label, that change at ``scores`` only.

    ``p0`` and ``p1`` hold their values below the first score, at it, between it and the second, at that, and so on.
    """

    scores: tuple[float, ...]  # (m,) increasing
    p0: tuple[float, ...]  # (2m + 1,)
    p1: tuple[float, ...]  # (2m + 1,)

    def at(self, scores: Rows) -> tuple[Rows, Rows]:
        """Return p0 and p1 at new scores; all of shape (n,)."""
        known = np.array(self.scores)
        place = np.searchsorted(known, scores, side="left") + np.searchsorted(known, scores, side="right")
        return np.array(self.p0)[place], np.array(self.p1)[place]


class VennAbers(Fitted):
    """Inductive Venn-Abers prediction of each category against the rest, merged to ``p1 / (1 - p0 + p1)``, normalised.

    Source: Vovk, Petej and Fedorova, "Large-scale probabilistic predictors with and without guarantees of validity",
    NeurIPS 2015.
    """

    kind: Literal["venn_abers"] = "venn_abers"
    steps: tuple[Steps, Steps, Steps]

    def apply_rows(self, rows: Rows) -> Rows:
        """Return calibrated probabilities of shape (n, 3) for raw ones of shape (n, 3)."""
        columns = []
        for steps, scores in zip(self.steps, rows.T, strict=True):
            p0, p1 = steps.at(scores)
            columns.append(p1 / (1.0 - p0 + p1))
        return normalised(np.column_stack(columns))


Calibrator = Annotated[Identity | BCTS | Beta | VennAbers, Field(discriminator="kind")]


class Fusion(Fitted):
    """One multinomial logistic model over the log-probabilities of the LLM and of the local classifier.

    ``softmax(W [log p_llm, log p_local] + b)``. It is a calibrator of both at once, so it is valid for one local classifier too.
    """

    kind: Literal["fusion"] = "fusion"
    local: Asked
    weights: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]  # (3, 6)
    bias: Triple

    def refuses_with(self, asked: Asked, source: Source, local: Asked) -> str | None:
        """Return why probabilities of these origins must not be fused with it; None where they may."""
        return self.refuses(asked, source) or ("the fusion was fitted with another local classifier" if local != self.local else None)

    def apply_rows(self, rows: Rows, local: Rows) -> Rows:
        """Return fused probabilities of shape (n, 3) for raw ones of the LLM and of the local classifier, both (n, 3)."""
        return softmax(fused_features(rows, local) @ np.array(self.weights).T + np.array(self.bias))


def fused_features(rows: Rows, local: Rows) -> Rows:
    """Return the log-probabilities of both side by side; shape (n, 6)."""
    return np.hstack([_logs(rows), _logs(local)])


def softmax(logits: Rows) -> Rows:
    """Return rows of positive numbers that add up to 1; shape (n, k) as given."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def normalised(rows: Rows) -> Rows:
    """Return rows floored at 1e-6 and scaled to add up to 1."""
    floored = np.maximum(rows, FLOOR)
    return np.asarray(floored / floored.sum(axis=1, keepdims=True))


def _logs(rows: Rows) -> Rows:
    return np.asarray(np.log(np.maximum(rows, FLOOR)))
