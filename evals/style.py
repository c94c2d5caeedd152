"""Does form give the label away? A probe that sees the length and the punctuation of a message, and none of its words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.data import Row
from orchestrator.schema import CATEGORIES, SAFETY_INDEX

MARKS = ".,;:?!'\"-()/…&#@>"
FOLDS = 5


class Probe(NamedTuple):
    """What the probe makes of the labels out of fold, and what chance would."""

    balanced_accuracy: float  # over the three labels; chance is 1/3
    safety_auc: float  # safety against the rest; chance is 0.5
    boosted_auc: float  # the same by boosted trees, which see combinations: short and without a question mark, say
    n: int


def style_features(text: str) -> list[float]:
    """Return length and punctuation of a text: logarithms of counts, and shares of its characters."""
    size = len(text)
    words = text.split()
    counts = [size, len(words), text.count("\n"), *(text.count(mark) for mark in MARKS)]
    shares = [sum(test(c) for c in text) / size for test in (str.isupper, str.isdigit, str.isspace)]
    return [*np.log1p(counts).tolist(), *shares, size / max(len(words), 1), float(text[:1].isupper()), float(text[-1:].isalnum())]


def probe(rows: Sequence[Row], seed: int) -> Probe:
    """Train the probe on folds grouped by seed and return how well it does on the rows it has not seen."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.array([style_features(row.message) for row in rows])
    labels: NDArray[np.int_] = np.array([CATEGORIES.index(row.label) for row in rows])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    groups = [row.seed_id for row in rows]
    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    boosted = HistGradientBoostingClassifier(max_depth=3, max_iter=80, learning_rate=0.05, random_state=seed)
    by_line, by_trees = (
        cross_val_predict(model, features, labels, cv=folds, groups=groups, method="predict_proba") for model in (linear, boosted)
    )
    safety = labels == SAFETY_INDEX
    return Probe(
        balanced_accuracy=float(balanced_accuracy_score(labels, by_line.argmax(axis=1))),
        safety_auc=float(roc_auc_score(safety, by_line[:, SAFETY_INDEX])),
        boosted_auc=float(roc_auc_score(safety, by_trees[:, SAFETY_INDEX])),
        n=len(rows),
    )
