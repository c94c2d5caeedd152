"""Train the local classifier on dev: ``Row -> classifier.json``. It sees no other split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evals.data import Row
from evals.run import AnswerRow
from orchestrator.local_classifier import VIEWS, LocalClassifier
from orchestrator.schema import CATEGORIES, Answer, Probabilities, Source

STRENGTHS = (5.0, 25.0, 125.0)  # inverse regularisation, chosen by cross-validated NLL on dev
FOLDS = 5
MIN_DOCUMENTS = 2  # a term seen once tells one message, not a kind
DIGITS = 5  # significant digits kept, so that the file is small and the same on every machine


def train(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Return the parameters of a classifier trained on ``rows``, ready to be stored as JSON."""
    texts, labels = [row.message for row in rows], label_codes(rows)
    strength = _best_strength(texts, labels, seed)
    model = new_model(strength).fit(texts, labels)
    vectorizers = dict(model["features"].transformer_list)
    return {
        "trained_on": len(rows),
        "strength": strength,
        "views": {name: {"terms": v.get_feature_names_out().tolist(), "idf": short(v.idf_)} for name, v in vectorizers.items()},
        "coefficients": [short(row) for row in model["classifier"].coef_],
        "intercepts": short(model["classifier"].intercept_),
    }


def new_model(strength: float) -> Any:
    """Return an untrained pipeline, texts to probabilities; ``strength`` is the inverse regularisation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion, Pipeline

    views = [(name, TfidfVectorizer(min_df=MIN_DOCUMENTS, **settings)) for name, settings in VIEWS.items()]
    return Pipeline(
        [("features", FeatureUnion(views)), ("classifier", LogisticRegression(C=strength, class_weight="balanced", max_iter=5000))]
    )


class Remembered(LocalClassifier):
    """A local classifier that has read given texts already, all at once, and answers any other as ever."""

    def read(self, texts: Sequence[str]) -> Self:
        """Read ``texts`` and return itself."""
        distinct = list(dict.fromkeys(texts))
        self._read: dict[str, Probabilities] = {}  # nothing is known while they are read
        self._read = dict(zip(distinct, self.many(distinct) if distinct else [], strict=True))
        return self

    def __call__(self, text: str) -> Probabilities:
        """Return the probabilities of one text."""
        known = self._read.get(text)
        return super().__call__(text) if known is None else known


def label_codes(rows: Sequence[Row]) -> NDArray[np.int_]:
    """Return the labels as indices into the categories."""
    return np.array([CATEGORIES.index(row.label) for row in rows], dtype=int)


def answer_rows(rows: Sequence[Row], classifier: LocalClassifier) -> list[AnswerRow]:
    """Return the classifier's answers in the form the LLM candidates' have."""
    return [AnswerRow(id=row.id, answer=Answer(probabilities=classifier(row.message), source=Source.LOCAL, label_mass=1.0)) for row in rows]


def _best_strength(texts: Sequence[str], labels: NDArray[np.int_], seed: int) -> float:
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    losses = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # a small sample may have fewer rows than folds
        for strength in STRENGTHS:
            predicted = cross_val_predict(new_model(strength), texts, labels, cv=folds, method="predict_proba")
            losses[strength] = log_loss(labels, predicted)
    return min(STRENGTHS, key=lambda strength: losses[strength])


def short(values: NDArray[np.float64]) -> list[float]:
    """Return the values with the digits that are kept."""
    return [float(f"{value:.{DIGITS}g}") for value in values]
