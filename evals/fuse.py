"""Fit one model over the log-probabilities of the LLM and of the local classifier, and say whether it beats both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.bootstrap import difference
from evals.calibrate import MIN_ROWS, folded, nll
from orchestrator.calibration import FLOOR, Fusion, fused_features, softmax
from orchestrator.schema import CATEGORIES, Asked, Source

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # inverse regularisation of the weights, chosen by cross-validated NLL within the rows

Rows = NDArray[np.float64]
Labels = NDArray[np.int_]


class Comparison(NamedTuple):
    """Whether a fusion is kept, in numbers: out-of-fold NLL in nats, and the paired difference to the better part."""

    nll: float
    nll_llm: float
    nll_local: float
    gain: float | None  # NLL of the better part less that of the fusion: above 0 the fusion is better
    gain_low: float  # seed-level bootstrap, two-sided 95 %
    gain_high: float
    kept: bool


def fit_fusion(raw: Rows, local: Rows, labels: Labels, seeds: Sequence[str], *, asked: Asked, source: Source, local_asked: Asked) -> Fusion:
    """Fit multinomial logistic regression with an L2 penalty on both log-probabilities, each of shape (n, 3).

    The strength of the penalty is chosen by grouped 5-fold NLL. Raises ``ValueError`` below 100 rows.
    """
    if len(labels) < MIN_ROWS:
        raise ValueError(f"{len(labels)} rows; from {MIN_ROWS} on a fusion is fitted")
    strength = _best_strength(raw, local, labels, seeds)
    weights, bias = _fit(raw, local, labels, strength)
    return Fusion(
        asked=asked,
        source=source,
        local=local_asked,
        n=len(labels),
        reason=f"multinomial on both log-probabilities, inverse penalty {strength:g}",
        weights=(tuple(weights[0]), tuple(weights[1]), tuple(weights[2])),
        bias=(bias[0], bias[1], bias[2]),
    )


def out_of_fold_fusion(raw: Rows, local: Rows, labels: Labels, seeds: Sequence[str]) -> Rows:
    """Return each row's fused probabilities from a fit that has not seen its seed, its penalty chosen within; shape (n, 3)."""
    names = np.array(seeds)

    def fit_apply(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> Rows:
        strength = _best_strength(raw[train], local[train], labels[train], names[train].tolist())
        return _predict(raw[test], local[test], *_fit(raw[train], local[train], labels[train], strength))

    return folded(len(labels), seeds, fit_apply)


def beats_both(fused: Rows, llm: Rows, local: Rows, labels: Labels, seeds: Sequence[str], *, seed: int) -> Comparison:
    """Compare out-of-fold probabilities of the fusion with those of its parts calibrated alone; all of shape (n, 3).

    It is kept when its NLL is below that of both.
    """
    losses = {name: nll(rows, labels) for name, rows in (("fused", fused), ("llm", llm), ("local", local))}
    better = llm if losses["llm"] < losses["local"] else local
    codes = np.unique(np.array(seeds), return_inverse=True)[1]
    gain = difference(_losses(better, labels), _losses(fused, labels), codes, seed=seed)
    return Comparison(
        nll=losses["fused"],
        nll_llm=losses["llm"],
        nll_local=losses["local"],
        gain=gain.value,
        gain_low=gain.low,
        gain_high=gain.high,
        kept=losses["fused"] < min(losses["llm"], losses["local"]),
    )


def _losses(rows: Rows, labels: Labels) -> NDArray[np.float64]:
    return np.asarray(-np.log(np.maximum(rows[np.arange(len(labels)), labels], FLOOR)))


def _best_strength(raw: Rows, local: Rows, labels: Labels, seeds: Sequence[str]) -> float:
    def loss(strength: float) -> float:
        predicted = folded(len(labels), seeds, lambda a, b: _predict(raw[b], local[b], *_fit(raw[a], local[a], labels[a], strength)))
        return nll(predicted, labels)

    return min(STRENGTHS, key=loss)


def _fit(raw: Rows, local: Rows, labels: Labels, strength: float) -> tuple[list[list[float]], list[float]]:
    """Return weights (3, 6) and biases (3,)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, solver="newton-cholesky").fit(fused_features(raw, local), labels)
    if len(model.classes_) != len(CATEGORIES):
        raise ValueError("a fusion needs rows of all three categories")
    return model.coef_.tolist(), model.intercept_.tolist()


def _predict(raw: Rows, local: Rows, weights: list[list[float]], bias: list[float]) -> Rows:
    return softmax(fused_features(raw, local) @ np.array(weights).T + np.array(bias))
