"""Does form give the label away? A probe that sees the length, the punctuation and the kinds of character of a message, no word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
    return Probe(form=form_telling(rows, seed), form_digits_capitals=_telling_of(rows, seed, characters=True), n=len(rows))


def form_telling(rows: Sequence[Row], seed: int) -> Telling:
    """Return what length and punctuation alone tell: the half of the probe that the dataset is held to."""
    return _telling_of(rows, seed, characters=False)


def _telling_of(rows: Sequence[Row], seed: int, *, characters: bool) -> Telling:
    seen = tuple((row.message, CATEGORIES.index(row.label), row.seed_id) for row in rows)
    return _telling(seen, seed, characters=characters)


@lru_cache(maxsize=8)  # seconds of training, asked for again wherever the same rows are looked at twice
def _telling(seen: tuple[tuple[str, int, str], ...], seed: int, *, characters: bool) -> Telling:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    texts, codes, groups = zip(*seen, strict=True)
    labels: NDArray[np.int_] = np.array(codes)
    features = np.array([form_features(text) + (character_features(text) if characters else []) for text in texts])
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels, groups))
    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    boosted = HistGradientBoostingClassifier(max_depth=3, max_iter=80, learning_rate=0.05, class_weight="balanced", random_state=seed)
    found = []
    for model in (linear, boosted):
        probabilities = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
        auc = roc_auc_score(labels == SAFETY_INDEX, probabilities[:, SAFETY_INDEX])
        found.append((float(balanced_accuracy_score(labels, probabilities.argmax(axis=1))), float(auc)))
    return Telling(*map(max, zip(*found, strict=True)))
