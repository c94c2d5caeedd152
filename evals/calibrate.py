"""Fit what turns raw probabilities into decisions: the calibrator, and the safety threshold. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binom

from orchestrator.calibration import FLOOR, Calibrator, bcts
from orchestrator.schema import CATEGORIES, Source

MIN_ROWS = 100  # below, a fit is noise: outcomes say that they are not calibrated
FOLDS = 5
CEILING = 0.5  # a message more likely safety than not is safety, whatever the threshold


def fit_calibrator(
    probabilities: NDArray[np.float64], labels: NDArray[np.int_], seeds: list[str], *, candidate: str, source: Source
) -> Calibrator:
    """Fit bias-corrected temperature scaling, and accept it only if the out-of-fold NLL improves.

    ``probabilities`` has shape (n, 3), ``labels`` holds indices into the categories, ``seeds`` groups rows that
    must not be split between folds. N(0, 1) priors on log T and on the biases keep small samples from overfitting.
    """
    n = len(labels)

    def identity(reason: str) -> Calibrator:
        return Calibrator(candidate=candidate, source=source, n=n, reason=reason)

    if n < MIN_ROWS:
        return identity(f"{n} rows; from {MIN_ROWS} on a calibrator is fitted")
    before, after = nll(probabilities, labels), nll(out_of_fold(probabilities, labels, seeds), labels)
    if after >= before:
        return identity(f"out-of-fold NLL {after:.4f} is no better than {before:.4f} without")
    temperature, bias = fit_bcts(probabilities, labels)
    return Calibrator(
        kind="bcts",
        temperature=temperature,
        bias=(float(bias[0]), float(bias[1]), float(bias[2])),
        candidate=candidate,
        source=source,
        n=n,
        reason=f"out-of-fold NLL {before:.4f} -> {after:.4f}",
    )


def out_of_fold(probabilities: NDArray[np.float64], labels: NDArray[np.int_], seeds: list[str]) -> NDArray[np.float64]:
    """Return each row's probabilities calibrated by a fit that has not seen its seed; shape (n, 3)."""
    fold = fold_of(seeds)
    calibrated = probabilities.copy()
    for k in range(FOLDS):
        held_out = fold == k
        if held_out.any() and not held_out.all():
            temperature, bias = fit_bcts(probabilities[~held_out], labels[~held_out])
            calibrated[held_out] = bcts(probabilities[held_out], temperature, bias)
    return calibrated


def fold_of(seeds: list[str]) -> NDArray[np.int_]:
    """Return each row's fold, the same for rows of one seed, dealt out in the order of sorted seeds."""
    position = {seed: index for index, seed in enumerate(sorted(set(seeds)))}
    return np.array([position[seed] % FOLDS for seed in seeds], dtype=int)


def fit_bcts(probabilities: NDArray[np.float64], labels: NDArray[np.int_]) -> tuple[float, NDArray[np.float64]]:
    """Return the maximum a posteriori T and b of ``softmax(log p / T + b)``, the last bias fixed at 0."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    rows = np.arange(len(labels))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_t, free = parameters[0], parameters[1:]
        scaled = logs * np.exp(-log_t)
        logits = scaled + np.append(free, 0.0)
        logits -= logits.max(axis=1, keepdims=True)
        predicted = np.exp(logits)
        predicted /= predicted.sum(axis=1, keepdims=True)
        error = predicted.copy()
        error[rows, labels] -= 1.0
        value = -np.log(np.maximum(predicted[rows, labels], 1e-300)).sum() + 0.5 * (parameters**2).sum()
        gradient = np.concatenate([[-(error * scaled).sum()], error.sum(axis=0)[:-1]]) + parameters
        return float(value), gradient

    fitted = minimize(loss, np.zeros(len(CATEGORIES)), jac=True, method="L-BFGS-B")
    return float(np.exp(fitted.x[0])), np.append(fitted.x[1:], 0.0)


def nll(probabilities: NDArray[np.float64], labels: NDArray[np.int_]) -> float:
    """Return the mean negative log-likelihood in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, FLOOR)).mean())


def safety_threshold(scores: NDArray[np.float64], *, alpha: float, delta: float) -> tuple[float, bool]:
    """Return the highest threshold t with P(false negative rate > alpha) <= delta, and whether that holds.

    ``scores`` are P(safety) of held-out safety items; an item that another rule catches anyway has the score
    ``inf``. With k = max{k : BinomCDF(k; n, alpha) <= delta}, t is the (k+1)-th smallest score, at most 0.5.
    With too few items for any k the lowest score is taken and nothing is certified.

    Source: Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test", 2021; fixed-sequence testing with
    exact binomial p-values.
    """
    n = len(scores)
    if n == 0:
        return CEILING, False
    misses = [k for k in range(n) if binom.cdf(k, n, alpha) <= delta]
    ordered = np.sort(scores)
    threshold = float(ordered[misses[-1]]) if misses else float(ordered[0])
    return min(threshold, CEILING), bool(misses)
