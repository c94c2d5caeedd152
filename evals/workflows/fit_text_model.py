"""Train a text model: ``texts, labels -> parameters`` of ``orchestrator.text_model``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.local import FOLDS, STRENGTHS, new_model, short


def fit_text_model(texts: Sequence[str], labels: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the parameters of a model trained on ``texts``, ready to be stored as JSON.

    The regularisation is chosen by cross-validated log loss on the same texts.
    """
    out_of_fold, strength = predict_out_of_fold(texts, labels, seed)
    names = sorted(set(labels))
    model = new_model(strength).fit(texts, list(labels))
    vectorizers = dict(model["features"].transformer_list)
    return {
        "labels": names,
        "trained_on": len(texts),
        "strength": strength,
        "out_of_fold_accuracy": float(np.mean([names[i] == label for i, label in zip(out_of_fold.argmax(axis=1), labels, strict=True)])),
        "views": {name: {"terms": v.get_feature_names_out().tolist(), "idf": short(v.idf_)} for name, v in vectorizers.items()},
        "coefficients": [short(row) for row in model["classifier"].coef_],
        "intercepts": short(model["classifier"].intercept_),
    }


def predict_out_of_fold(texts: Sequence[str], labels: Sequence[str], seed: int) -> tuple[NDArray[np.float64], float]:
    """Return the probabilities (n, labels in alphabetical order) from models that did not see the text, and the strength chosen."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    names, found = sorted(set(labels)), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # a small sample may have fewer rows than folds
        for strength in STRENGTHS:
            found[strength] = cross_val_predict(new_model(strength), list(texts), list(labels), cv=folds, method="predict_proba")
    best = min(STRENGTHS, key=lambda strength: log_loss(labels, found[strength], labels=names))
    return found[best], best
