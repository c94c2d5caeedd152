"""Which labels look wrong? cleanlab's doubts, from classifiers that have not seen the row: ``rows -> Suspect``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    rows = sorted((row for row in rows if row.perturbation is None), key=lambda row: row.id)  # so that folds do not follow file order
    seen = tuple((row.message, int(code), row.seed_id) for row, code in zip(rows, label_codes(rows), strict=True))
    quality, guesses, doubted = _doubts(seen, seed)
    order = np.argsort(quality, kind="stable")
    return [Suspect(rows[i], float(quality[i]), CATEGORIES[int(guesses[i])], bool(doubted[i])) for i in order]


@lru_cache(maxsize=2)  # seconds of training, asked for again where the same rows are looked at twice
def _doubts(seen: tuple[tuple[str, int, str], ...], seed: int) -> tuple[NDArray[np.float64], NDArray[np.int_], NDArray[np.bool_]]:
    """Return the quality of every label, the label a classifier that has not seen the row favours, and cleanlab's cut."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    texts, codes, groups = zip(*seen, strict=True)
    labels = np.array(codes)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        probabilities = cross_val_predict(new_model(C), list(texts), labels, cv=folds, groups=groups, method="predict_proba")
    quality = get_label_quality_scores(labels, probabilities)
    return quality, probabilities.argmax(axis=1), find_label_issues(labels, probabilities, n_jobs=1)
