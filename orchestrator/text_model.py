"""A linear text model for any set of labels: the features of the local classifier, through a softmax.

The workflows use it where rules alone do not suffice (intents, severity). It is trained by ``evals`` and stored
as JSON, so loading one runs no code.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import ReleaseError
from orchestrator.local_classifier import VIEWS, new_vectorizer


class TextModel:
    """Linear scores over word and character TF-IDF: ``text -> probability by label``."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take the parameters as ``evals.workflows.fit_text_model`` writes them."""
        self.labels: tuple[str, ...] = tuple(parameters["labels"])
        self._views = [_View(name, parameters["views"][name]) for name in VIEWS]
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
            columns, values = view(text)
            scores += values @ self._coefficients[at + columns]
            at += len(view)
        odds = np.exp(scores - scores.max())
        return dict(zip(self.labels, (odds / odds.sum()).tolist(), strict=True))


class _View:
    """The TF-IDF row of one text, as the vectorizer's own ``transform`` gives it, which takes thrice as long for a single one."""

    def __init__(self, name: str, view: dict[str, Any]) -> None:
        vectorizer = new_vectorizer(name, view)
        self._analyze = vectorizer.build_analyzer()
        self._column = {term: column for column, term in enumerate(view["terms"])}
        self._idf = np.array(vectorizer.idf_)

    def __len__(self) -> int:
        return len(self._column)

    def __call__(self, text: str) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
        """Return the columns of the terms known and their values: (1 + ln count) x idf, of length 1 together."""
        found = Counter(map(self._column.get, self._analyze(text)))
        found.pop(None, None)
        columns = np.fromiter(found.keys(), dtype=np.int_, count=len(found))
        values = (1 + np.log(np.fromiter(found.values(), dtype=np.float64, count=len(found)))) * self._idf[columns]
        return columns, values / (np.linalg.norm(values) or 1.0)
