"""Learn what each red flag adds to the severity a text model sees: ``out-of-fold probabilities, flags, labels -> Join``. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from orchestrator.calibration import FLOOR, softmax
from orchestrator.severity import SEVERITIES, Join

# Far below what is stored of the parameters, so that machines agree on them.
PRECISION = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2000}


def fit_join(raw: NDArray[np.float64], fired: NDArray[np.float64], labels: NDArray[np.int_]) -> Join:
    """Return the maximum a posteriori join: BCTS of ``raw`` (n, 3) with a weight for each flag of ``fired`` (n, flags) and severity.

    Everything has the N(0, 1) prior that ``evals.calibrate.fit_bcts`` gives log T and the biases: a flag that fires on five rows
    cannot learn a certainty from them. ``labels`` are indices into the severities.
    """
    kinds, rows = len(SEVERITIES), np.arange(len(labels))
    logs = np.log(np.maximum(raw, FLOOR))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = logs * np.exp(-parameters[0])
        predicted = softmax(scaled + np.append(parameters[1:kinds], 0.0) + fired @ parameters[kinds:].reshape(-1, kinds))
        error = predicted.copy()
        error[rows, labels] -= 1.0
        value = -np.log(np.maximum(predicted[rows, labels], FLOOR)).sum() + 0.5 * (parameters**2).sum()
        gradient = np.concatenate([[-(error * scaled).sum()], error.sum(axis=0)[:-1], (fired.T @ error).ravel()]) + parameters
        return float(value), gradient

    start = np.zeros(kinds + fired.shape[1] * kinds)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=PRECISION).x
    return Join(float(np.exp(found[0])), np.append(found[1:kinds], 0.0), found[kinds:].reshape(-1, kinds))
