"""Which labels look wrong? cleanlab's doubts, from classifiers that have not seen the row: ``rows -> Suspect``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evals.data import Row
from evals.local import label_codes, new_model
from orchestrator.schema import CATEGORIES, Category

FOLDS = 5
C = 5.0  # inverse regularisation; the ranking hardly depends on it


class Suspect(NamedTuple):
    """A row, how good its label looks (0 to 1), the label the classifier favours, and whether cleanlab would call the label wrong."""

    row: Row
    quality: float
    guess: Category
    doubted: bool


def suspects(rows: Sequence[Row], seed: int) -> list[Suspect]:
    """Return every row that is not a variant, the most doubtful label first.

    ``doubted`` is cleanlab's cut, pruning by the estimated noise rate. Source: Northcutt, Jiang and Chuang, "Confident
    Learning", JAIR 2021. To be looked at by a person, never acted on blindly; nothing is tuned by it, so all splits are
    looked at.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    rows = sorted((row for row in rows if row.perturbation is None), key=lambda row: row.id)  # so that folds do not follow file order
    texts, labels = [row.message for row in rows], label_codes(rows)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        groups = [row.seed_id for row in rows]
        probabilities = cross_val_predict(new_model(C), texts, labels, cv=folds, groups=groups, method="predict_proba")
    quality = get_label_quality_scores(labels, probabilities)
    doubted = find_label_issues(labels, probabilities, n_jobs=1)
    order = np.argsort(quality, kind="stable")
    return [Suspect(rows[i], float(quality[i]), CATEGORIES[int(probabilities[i].argmax())], bool(doubted[i])) for i in order]
