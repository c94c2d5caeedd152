"""Fit what turns raw probabilities into calibrated ones, and accept it only if it helps on rows it has not seen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from evals.venn_abers import venn_abers_steps
from orchestrator.calibration import BCTS, FLOOR, Beta, Calibrator, Identity, VennAbers, softmax
from orchestrator.schema import CATEGORIES, Asked, Source

MIN_ROWS = 100  # below, a fit is noise: outcomes say that they are not calibrated
MANY_ROWS = 1000  # from here on the flexible kinds are tried too; isotonic ones are worse than nothing up to n = 150
FOLDS = 5
RIDGE = 1e-3  # keeps the slopes of beta calibration finite where one category is separable

Rows = NDArray[np.float64]
Labels = NDArray[np.int_]


def fit_calibrator(raw: Rows, labels: Labels, seeds: Sequence[str], *, asked: Asked, source: Source) -> Calibrator:
    """Fit the calibrator of one prompt, model and source, and accept it only if the out-of-fold NLL improves.

    ``raw`` has shape (n, 3), ``labels`` holds indices into the categories, ``seeds`` groups rows that must not be split
    between folds. Below 100 rows none is fitted, below 1,000 BCTS, from 1,000 on the best of BCTS, beta and Venn-Abers.
    """
    n = len(labels)
    if n < MIN_ROWS:
        return Identity(asked=asked, source=source, n=n, reason=f"{n} rows; from {MIN_ROWS} on a calibrator is fitted")
    before = nll(raw, labels)
    losses = {kind: nll(out_of_fold(raw, labels, seeds, kind), labels) for kind in (KINDS if n >= MANY_ROWS else ("bcts",))}
    best = min(losses, key=lambda kind: losses[kind])
    if losses[best] >= before:
        reason = f"out-of-fold NLL {losses[best]:.4f} is no better than {before:.4f} without"
        return Identity(asked=asked, source=source, n=n, reason=reason)
    others = "".join(f"; {kind} {loss:.4f}" for kind, loss in losses.items() if kind != best)
    fitted = KINDS[best](raw, labels)
    return fitted.model_copy(
        update={"asked": asked, "source": source, "n": n, "reason": f"{best}: out-of-fold NLL {before:.4f} -> {losses[best]:.4f}{others}"}
    )


def out_of_fold(raw: Rows, labels: Labels, seeds: Sequence[str], kind: str) -> Rows:
    """Return each row's probabilities calibrated by a fit that has not seen its seed; shape (n, 3)."""
    if kind == "identity":
        return raw
    return folded(len(labels), seeds, lambda train, test: KINDS[kind](raw[train], labels[train]).apply_rows(raw[test]))


def folded(n: int, seeds: Sequence[str], fit_apply: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Rows]) -> Rows:
    """Return the (n, 3) probabilities that ``fit_apply(train, test)`` gives each fold from the rows outside it.

    Raises ``ValueError`` when all rows are of one seed, so that there is nothing outside.
    """
    fold = fold_of(seeds)
    result = np.full((n, len(CATEGORIES)), np.nan)
    for k in range(FOLDS):
        test = fold == k
        if test.all():
            raise ValueError("all rows are of one seed: there is nothing to fit on outside its fold")
        if test.any():
            result[test] = fit_apply(~test, test)
    return result


def fold_of(seeds: Sequence[str]) -> NDArray[np.int_]:
    """Return each row's fold, the same for rows of one seed, dealt out in the order of sorted seeds."""
    position = {seed: index for index, seed in enumerate(sorted(set(seeds)))}
    return np.array([position[seed] % FOLDS for seed in seeds], dtype=int)


def fit_bcts(raw: Rows, labels: Labels) -> BCTS:
    """Return the maximum a posteriori BCTS; N(0, 1) priors on log T and on the biases keep small samples from overfitting."""
    logs = np.log(np.maximum(raw, FLOOR))
    rows = np.arange(len(labels))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = logs * np.exp(-parameters[0])
        predicted = softmax(scaled + np.append(parameters[1:], 0.0))
        error = predicted.copy()
        error[rows, labels] -= 1.0
        value = -np.log(np.maximum(predicted[rows, labels], 1e-300)).sum() + 0.5 * (parameters**2).sum()
        gradient = np.concatenate([[-(error * scaled).sum()], error.sum(axis=0)[:-1]]) + parameters
        return float(value), gradient

    fitted = minimize(loss, np.zeros(len(CATEGORIES)), jac=True, method="L-BFGS-B").x
    return BCTS(**_UNFITTED, temperature=float(np.exp(fitted[0])), bias=(float(fitted[1]), float(fitted[2]), 0.0))


def fit_beta(raw: Rows, labels: Labels) -> Beta:
    """Return maximum-likelihood beta calibration of each category against the rest, its two slopes not negative."""
    parameters = [_beta_of_one(raw[:, k], (labels == k).astype(float)) for k in range(len(CATEGORIES))]
    return Beta(**_UNFITTED, parameters=(parameters[0], parameters[1], parameters[2]))


def fit_venn_abers(raw: Rows, labels: Labels) -> VennAbers:
    """Return inductive Venn-Abers prediction of each category against the rest."""
    steps = [venn_abers_steps(raw[:, k], (labels == k).astype(float)) for k in range(len(CATEGORIES))]
    return VennAbers(**_UNFITTED, steps=(steps[0], steps[1], steps[2]))


KINDS: dict[str, Callable[[Rows, Labels], BCTS | Beta | VennAbers]] = {"bcts": fit_bcts, "beta": fit_beta, "venn_abers": fit_venn_abers}
# What a bare fit says of its origin, until fit_calibrator tells it.
_UNFITTED: dict[str, Asked | Source] = {"asked": Asked(prompt="", model=""), "source": Source.LOGPROB}


def nll(probabilities: Rows, labels: Labels) -> float:
    """Return the mean negative log-likelihood in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, FLOOR)).mean())


def _beta_of_one(scores: NDArray[np.float64], events: NDArray[np.float64]) -> tuple[float, float, float]:
    features = np.column_stack([np.log(np.maximum(scores, FLOOR)), -np.log(np.maximum(1.0 - scores, FLOOR)), np.ones_like(scores)])
    start = np.array([1.0, 1.0, 0.0])  # leaves the scores as they are

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = features @ parameters
        value = np.logaddexp(0.0, logits).sum() - events @ logits + 0.5 * RIDGE * ((parameters - start) ** 2).sum()
        gradient = features.T @ (1.0 / (1.0 + np.exp(-logits)) - events) + RIDGE * (parameters - start)
        return float(value), gradient

    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (0.0, None), (None, None)]).x
    return float(fitted[0]), float(fitted[1]), float(fitted[2])
