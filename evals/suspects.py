"""Which labels look wrong? cleanlab's ranking over probabilities from classifiers that have not seen the row."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from evals.data import Row, Split, load_splits
from evals.local import label_codes, new_model
from orchestrator.schema import CATEGORIES, Category

FOLDS = 5
C = 5.0  # inverse regularisation; the ranking hardly depends on it


def suspects(folder: Path, seed: int) -> list[tuple[Row, float, Category]]:
    """Return every row that is not a variant, the most doubtful label first, with its quality (0 to 1) and the label the model favours.

    Source: Northcutt, Jiang and Chuang, "Confident Learning", JAIR 2021. To be looked at by a person, never
    acted on blindly; nothing is tuned by it, so all splits are looked at.
    """
    from cleanlab.rank import get_label_quality_scores
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    rows = [row for row in load_splits(folder, Split) if row.perturbation is None]
    texts, labels = [row.message for row in rows], label_codes(rows)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        groups = [row.seed_id for row in rows]
        probabilities = cross_val_predict(new_model(C), texts, labels, cv=folds, groups=groups, method="predict_proba")
    quality = get_label_quality_scores(labels, probabilities)
    order = np.argsort(quality, kind="stable")
    return [(rows[i], float(quality[i]), CATEGORIES[int(probabilities[i].argmax())]) for i in order]
