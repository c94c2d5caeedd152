"""The smooth calibration error: a calibration error without bins, and hence without their arbitrariness. Pure.

Source: Błasiok and Nakkiran, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing", ICLR 2024.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct, idct

from evals.calibration_error import Levels, levels
from evals.columns import Flags, Numbers

TOLERANCE = 1e-5
START = 0.05  # a bandwidth in the middle of those met with


def smooth_calibration_error(confidence: Numbers, right: Flags) -> float | None:
    """Return smECE of confidences (n,), 0 (best) to 1; None without rows."""
    return float(smece(levels(confidence, right))) if len(confidence) else None


def smece(rows: Levels) -> Numbers:
    """Return smECE, of the shape of ``hits`` but the last axis: the bandwidth s at which the error smoothed by s is s itself.

    The residuals ``confidence - right`` are smoothed over [0, 1] by a Gaussian reflected at the ends, and the error is the integral
    of what is left of them. Reflection makes the cosines the kernel's eigenfunctions: smoothing is a product after a cosine transform.
    """
    spectrum = dct(_on_grid(rows), axis=-1, norm="ortho")
    frequency = np.arange(spectrum.shape[-1]) * np.pi
    low, high = np.zeros(spectrum.shape[:-1]), np.ones(spectrum.shape[:-1])
    bandwidth = np.full_like(low, START)
    while np.any(high - low > TOLERANCE):
        # The smoothed error falls as the bandwidth grows, so the crossing lies between any bandwidth and its error.
        error = _smoothed_error(spectrum, frequency, bandwidth)
        low, high = np.maximum(low, np.minimum(bandwidth, error)), np.minimum(high, np.maximum(bandwidth, error))
        bandwidth = (low + high) / 2
    return bandwidth


def _smoothed_error(spectrum: Numbers, frequency: Numbers, bandwidth: Numbers) -> Numbers:
    kernel = np.exp(-0.5 * (bandwidth[..., None] * frequency) ** 2)
    return np.asarray(np.abs(idct(spectrum * kernel, axis=-1, norm="ortho")).sum(axis=-1))


def _on_grid(rows: Levels) -> Numbers:
    """Return the residuals as shares of the mass, each split between the two nearest of the grid's cells, of shape (..., points)."""
    points = _points(float(rows.mass.sum()))
    place = np.clip(rows.confidence * points - 0.5, 0, points - 1)
    left = np.minimum(place.astype(int), points - 2)
    part = place - left
    residual = (rows.confidence * rows.mass - rows.hits) / rows.mass.sum()
    grid = np.zeros((*residual.shape[:-1], points))
    for offset, share in ((0, 1 - part), (1, part)):
        # Levels rise, so those of one cell stand together and can be added up in runs.
        cells, starts = np.unique(left + offset, return_index=True)
        grid[..., cells] += np.add.reduceat(residual * share, starts, axis=-1)
    return grid


def _points(n: float) -> int:
    """Return a grid four times finer than the bandwidth that chance alone leads to, which falls with the cube root of n."""
    return int(2 ** np.ceil(np.log2(np.clip(16 * np.cbrt(n), 64, 4096))))
