"""The Brier score of an event in three parts, by isotonic recalibration. Pure.

Source: Dimitriadis, Gneiting and Jordan, "Stable reliability diagrams for probabilistic classifiers", PNAS 118, 2021.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import isotonic_regression

from evals.columns import Flags, Numbers


class Corp(BaseModel):
    """``brier = miscalibration - discrimination + uncertainty``; none of the three is negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    brier: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    n: int


def corp(forecast: Numbers, outcome: Flags) -> Corp | None:
    """Return the decomposition of the mean of ``(forecast - outcome)**2``, both of shape (n,); None without rows.

    Miscalibration is what recalibrating by isotonic regression would gain, discrimination what the recalibrated forecast gains on
    always forecasting the base rate. It is fitted in-sample: miscalibration is biased upwards at small n, like any calibration error.
    """
    if not len(forecast):
        return None
    y = outcome.astype(np.float64)
    fitted = recalibrated(forecast, outcome)
    brier, best, flat = (float(((guess - y) ** 2).mean()) for guess in (forecast, fitted, np.full_like(y, y.mean())))
    # The isotonic fit is the best of all monotone forecasts, these two among them: less than 0 is rounding.
    return Corp(brier=brier, miscalibration=max(brier - best, 0.0), discrimination=max(flat - best, 0.0), uncertainty=flat, n=len(y))


def recalibrated(forecast: Numbers, outcome: Flags) -> Numbers:
    """Return the isotonic regression of ``outcome`` on ``forecast``, (n,): equal forecasts are given equal values."""
    levels, level, size = np.unique(forecast, return_inverse=True, return_counts=True)
    if not len(levels):
        return np.empty(0)
    mean = np.bincount(level, weights=outcome) / size
    return np.asarray(isotonic_regression(mean, weights=size).x)[level]
