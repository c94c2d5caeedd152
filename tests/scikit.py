"""Scikit-learn's vectorizer with the parameters of a model of ours: what ``orchestrator.tfidf`` is held to."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from orchestrator.local_classifier import VIEWS


def vectorizer(name: str, view: dict[str, Any]) -> TfidfVectorizer:
    """Return the vectorizer of one view, with the terms and inverse document frequencies it was fitted with."""
    made = TfidfVectorizer(vocabulary=view["terms"], **VIEWS[name])
    made.idf_ = np.array(view["idf"], dtype=np.float64)
    return made
