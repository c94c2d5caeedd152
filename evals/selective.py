"""How well a confidence tells right from wrong: the risk-coverage curve and the area under its generalized form. Pure.

Source: Traub, Bungert, Lüth, Baumgartner, Maier-Hein, Maier-Hein and Jaeger, "Overcoming Common Flaws in the Evaluation of Selective
Classification Systems", NeurIPS 2024. The generalized risk at a coverage is P(wrong and accepted); AUGRC is the area under it.
"""

from __future__ import annotations

import numpy as np

from evals.columns import Flags, Numbers


def augrc(confidence: Numbers, wrong: Flags) -> float | None:
    """Return the area under the generalized risk-coverage curve, 0 (best) to 1/2; None without rows."""
    if not len(confidence):
        return None
    _, level = np.unique(-confidence, return_inverse=True)
    mass, errors = (np.bincount(level, weights=each).astype(np.float64) for each in (np.ones(len(wrong)), wrong))
    return float(area(mass[None], errors[None])[0])


def area(mass: Numbers, errors: Numbers) -> Numbers:
    """Return AUGRC of rows counted by level, the highest confidence first: ``mass`` of rows and of ``errors``, both of shape (r, levels).

    An error counts the share of rows accepted no later than it, half of those of its own level: the expectation over the order of
    ties. NaN where there is no mass.
    """
    later = mass.sum(axis=1, keepdims=True) - np.cumsum(mass, axis=1) + mass / 2
    total = mass.sum(axis=1)
    found: Numbers = np.divide((errors * later).sum(axis=1), total**2, out=np.full(len(mass), np.nan), where=total > 0)
    return found


def risk_coverage(confidence: Numbers, wrong: Flags, coverages: Numbers) -> tuple[Numbers, Numbers]:
    """Return the selective risk P(wrong | accepted) and the generalized risk P(wrong and accepted) at ``coverages`` in (0, 1].

    Rows of one confidence are accepted in random order: the risks are expectations over it. NaN without rows.
    """
    if not len(confidence):
        return np.full(len(coverages), np.nan), np.full(len(coverages), np.nan)
    _, level, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    errors = np.bincount(level, weights=wrong)
    n = len(confidence)
    generalized = np.interp(coverages, np.append(0.0, np.cumsum(size) / n), np.append(0.0, np.cumsum(errors) / n))
    return generalized / coverages, generalized
