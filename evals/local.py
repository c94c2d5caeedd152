"""Train the local classifier on dev: ``Row -> classifier.json``. It sees no other split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from evals.data import Row
from evals.run import AnswerRow
from orchestrator.local_classifier import VIEWS, LocalClassifier
from orchestrator.schema import CATEGORIES, Answer, Source

STRENGTHS = (1.0, 5.0, 25.0)  # inverse regularisation, chosen by cross-validated NLL on dev
FOLDS = 5
MIN_DOCUMENTS = 2  # a term seen once tells one message, not a kind
DIGITS = 5  # significant digits kept, so that the file is small and the same on every machine


def train(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Return the parameters of a classifier trained on ``rows``, ready to be stored as JSON."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    labels = np.array([CATEGORIES.index(row.label) for row in rows])
    texts = [row.message for row in rows]
    views: dict[str, Any] = {}
    blocks = []
    for name, settings in VIEWS.items():
        vectorizer = TfidfVectorizer(min_df=MIN_DOCUMENTS, **settings)
        blocks.append(vectorizer.fit_transform(texts))
        views[name] = {"terms": vectorizer.get_feature_names_out().tolist(), "idf": _short(vectorizer.idf_)}
    features = hstack(blocks, format="csr")
    strength = _best_strength(features, labels, seed)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000).fit(features, labels)
    return {
        "trained_on": len(rows),
        "strength": strength,
        "views": views,
        "coefficients": [_short(row) for row in model.coef_],
        "intercepts": _short(model.intercept_),
    }


def answer_rows(rows: Sequence[Row], classifier: LocalClassifier) -> list[AnswerRow]:
    """Return the classifier's answers in the form the LLM candidates' have."""
    return [AnswerRow(id=row.id, answer=Answer(probabilities=classifier(row.message), source=Source.LOCAL, label_mass=1.0)) for row in rows]


def _best_strength(features: csr_matrix, labels: NDArray[np.int_], seed: int) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    losses = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # a small sample may have fewer rows than folds
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000, tol=1e-2)  # enough to rank them
            predicted = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
            losses[strength] = log_loss(labels, predicted)
    return min(STRENGTHS, key=lambda strength: losses[strength])


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
