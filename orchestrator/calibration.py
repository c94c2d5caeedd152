"""Apply a fitted calibrator to raw probabilities. Fitting is done in ``evals.calibrate``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orchestrator.schema import Probabilities, Record, Source

FLOOR = 1e-6


class Calibrator(Record):
    """Bias-corrected temperature scaling: ``softmax(log p / T + b)`` with the last bias fixed at 0.

    Fitted for one prompt, model and source and valid for no other. ``identity`` leaves probabilities
    as they are, and outcomes say that they are not calibrated.

    Source: Alexandari, Kundaje and Shrikumar, "Maximum likelihood with bias-corrected calibration is
    hard-to-beat at label shift adaptation", ICML 2020.
    """

    kind: Literal["identity", "bcts"] = "identity"
    temperature: float = Field(default=1.0, gt=0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    candidate: str
    source: Source
    n: int = Field(default=0, ge=0)
    reason: str = ""

    def apply(self, probabilities: Probabilities) -> Probabilities:
        """Return calibrated probabilities."""
        if self.kind == "identity":
            return probabilities
        return Probabilities.from_vector(self.apply_rows(probabilities.vector()[None, :])[0])

    def apply_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities of shape (n, 3) for raw ones of shape (n, 3)."""
        return rows if self.kind == "identity" else bcts(rows, self.temperature, np.array(self.bias))


def bcts(rows: NDArray[np.float64], temperature: float, bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``softmax(log p / T + b)`` for probabilities of shape (n, 3)."""
    logits = np.log(np.maximum(rows, FLOOR)) / temperature + bias
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
