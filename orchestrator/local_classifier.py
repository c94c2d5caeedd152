"""The local classifier: word and character TF-IDF with multinomial logistic regression.

It is the baseline every LLM candidate is measured against, the degraded mode when the LLM is down, and a
second opinion on safety. It is trained on the dev split by ``evals`` and stored as JSON, so loading one
runs no code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from orchestrator.errors import ReleaseError
from orchestrator.schema import CATEGORIES, Asked, Probabilities
from orchestrator.tfidf import Tfidf

CANDIDATE = "local-tfidf"
VIEWS: dict[str, dict[str, Any]] = {
    "word": {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True},
    "char": {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True},
}


class LocalClassifier:
    """Linear scores over two TF-IDF views of the text, through a softmax. ``asked`` tells its parameters from others."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take the parameters as ``evals.local`` writes them."""
        self._views = [read_view(name, parameters["views"][name]) for name in VIEWS]
        self._coefficients = np.array(parameters["coefficients"], dtype=np.float64)  # (3, terms)
        self._intercepts = np.array(parameters["intercepts"], dtype=np.float64)  # (3,)
        self.asked = Asked(prompt="", model=hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest())
        terms = sum(len(parameters["views"][name]["terms"]) for name in VIEWS)
        if self._coefficients.shape != (len(CATEGORIES), terms) or self._intercepts.shape != (len(CATEGORIES),):
            raise ReleaseError("the local classifier's coefficients do not fit its terms: train it again (dvc repro)")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a classifier; raise ``ReleaseError`` when the file is missing or not one."""
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"{path}: not a local classifier ({error}); run `dvc repro local`") from None

    def __call__(self, text: str) -> Probabilities:
        """Return the (uncalibrated) probabilities of one text."""
        scores, at = self._intercepts.copy(), 0
        for view in self._views:
            columns, values = view(text)
            scores += self._coefficients[:, at + columns] @ values
            at += len(view)
        return Probabilities.from_vector(np.exp(scores - scores.max()))

    def many(self, texts: Sequence[str]) -> list[Probabilities]:
        """Return the probabilities of many texts."""
        return [self(text) for text in texts]


def read_view(name: str, view: dict[str, Any]) -> Tfidf:
    """Return one view, with the terms and inverse document frequencies it was fitted with."""
    settings = VIEWS[name]
    return Tfidf(view["terms"], view["idf"], analyzer=settings["analyzer"], ngram_range=settings["ngram_range"])
