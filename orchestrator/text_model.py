"""A linear text model for any set of labels: the features of the local classifier, through a softmax.

The workflows use it where rules alone do not suffice (intents, severity). It is trained by ``evals`` and stored
as JSON, so loading one runs no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from orchestrator.errors import ReleaseError
from orchestrator.local_classifier import VIEWS, read_view


class TextModel:
    """Linear scores over word and character TF-IDF: ``text -> probability by label``."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take the parameters as ``evals.workflows.fit_text_model`` writes them."""
        self.labels: tuple[str, ...] = tuple(parameters["labels"])
        self._views = [read_view(name, parameters["views"][name]) for name in VIEWS]
        self._coefficients = np.ascontiguousarray(np.array(parameters["coefficients"], dtype=np.float64).T)  # (terms, labels)
        self._intercepts = np.array(parameters["intercepts"], dtype=np.float64)  # (labels,)
        terms = sum(len(view) for view in self._views)
        if self._coefficients.shape != (terms, len(self.labels)) or self._intercepts.shape != (len(self.labels),):
            raise ReleaseError("the text model's coefficients do not fit its terms: train it again (dvc repro)")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model; raise ``ReleaseError`` when the file is missing or not one."""
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"{path}: not a text model ({error}); run `dvc repro`") from None

    def __call__(self, text: str) -> dict[str, float]:
        """Return the (uncalibrated) probability of every label."""
        scores, at = self._intercepts.copy(), 0
        for view in self._views:
            columns, weights = view.in_order(text)
            scores += weights / (np.linalg.norm(weights) or 1.0) @ self._coefficients[at + columns]
            at += len(view)
        odds = np.exp(scores - scores.max())
        return dict(zip(self.labels, (odds / odds.sum()).tolist(), strict=True))
