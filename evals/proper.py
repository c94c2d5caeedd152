"""The two proper scores of a distribution over the categories, row by row, so that candidates can be compared in pairs. Pure."""

from __future__ import annotations

import numpy as np

from evals.columns import Codes, Numbers
from orchestrator.calibration import FLOOR


def brier_scores(probabilities: Numbers, labels: Codes) -> Numbers:
    """Return the multiclass Brier score of each row, 0 (best) to 2: the squared distance to the one-hot label.

    ``probabilities`` are of shape (n, 3), ``labels`` (n,) index its columns.
    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    chosen = probabilities[np.arange(len(labels)), labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * chosen + 1)


def log_losses(probabilities: Numbers, labels: Codes) -> Numbers:
    """Return the negative log-likelihood of each row in nats, at most ``-log(FLOOR)``; shapes as for ``brier_scores``."""
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], FLOOR)))
