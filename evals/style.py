"""Does form give the label away? A probe that sees the length, the punctuation and the kinds of character of a message, no word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.data import Row
from orchestrator.schema import CATEGORIES, SAFETY_INDEX

MARKS = ".,;:?!'\"-()/…&#@>"
FOLDS = 5


class Telling(NamedTuple):
    """How well some features tell the labels out of fold: of either figure the higher, of a linear model's and of boosted trees'."""

    balanced_accuracy: float  # over the three labels; chance is 1/3
    safety_auc: float  # safety against the rest; chance is 0.5


class Probe(NamedTuple):
    """What form tells: length and punctuation alone, and with digits and capitals besides, of which an order number has many."""

    form: Telling
    form_digits_capitals: Telling
    n: int


def form_features(text: str) -> list[float]:
    """Return length and punctuation of a text: logarithms of counts, the share of white space, characters per word, how it ends."""
    size, words = len(text), text.split()
    counts = [size, len(words), text.count("\n"), *(text.count(mark) for mark in MARKS)]
    spaces = sum(map(str.isspace, text)) / size
    return [*np.log1p(counts).tolist(), spaces, size / max(len(words), 1), float(text[-1:].isalnum())]


def character_features(text: str) -> list[float]:
    """Return the shares of capitals and of digits, and whether the text begins with a capital."""
    return [sum(map(str.isupper, text)) / len(text), sum(map(str.isdigit, text)) / len(text), float(text[:1].isupper())]


def probe(rows: Sequence[Row], seed: int) -> Probe:
    """Train the probe on folds grouped by seed and return how well it does on the rows it has not seen."""
    form = np.array([form_features(row.message) for row in rows])
    characters = np.array([character_features(row.message) for row in rows])
    labels: NDArray[np.int_] = np.array([CATEGORIES.index(row.label) for row in rows])
    groups = [row.seed_id for row in rows]
    wider = _telling(np.hstack([form, characters]), labels, groups, seed)
    return Probe(form=_telling(form, labels, groups, seed), form_digits_capitals=wider, n=len(rows))


def _telling(features: NDArray[np.float64], labels: NDArray[np.int_], groups: Sequence[str], seed: int) -> Telling:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    boosted = HistGradientBoostingClassifier(max_depth=3, max_iter=80, learning_rate=0.05, class_weight="balanced", random_state=seed)
    found = []
    for model in (linear, boosted):
        probabilities = cross_val_predict(model, features, labels, cv=folds, groups=groups, method="predict_proba")
        auc = roc_auc_score(labels == SAFETY_INDEX, probabilities[:, SAFETY_INDEX])
        found.append((float(balanced_accuracy_score(labels, probabilities.argmax(axis=1))), float(auc)))
    return Telling(*map(max, zip(*found, strict=True)))
