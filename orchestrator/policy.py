"""Decide what a message is and who looks at it, from probabilities alone. Pure.

1. No answer from the LLM: the local classifier and the red flags decide, marked degraded.
2. A red flag, or P(safety) at or above its threshold, or the local classifier's: safety. Nothing downgrades it.
3. Otherwise the confidence decides: automatic, automatic with audit, or a person.
"""

from __future__ import annotations

from pydantic import Field

from orchestrator.schema import Band, Category, Decision, Probabilities, Record

HIGH, MODERATE, LOW = 0.9, 0.7, 0.5


class Thresholds(Record):
    """When P(safety) alone makes a message safety. All three are probabilities.

    ``safety`` is for the LLM's calibrated P(safety), fitted so that the whole system's false negative rate is
    bounded; ``local`` is for the local classifier as a second opinion, ``degraded`` for it standing alone.
    """

    safety: float = Field(ge=0, le=1)
    local: float = Field(ge=0, le=1)
    degraded: float = Field(ge=0, le=1)


def band_of(confidence: float) -> Band:
    """Return the band of a confidence; a boundary belongs to the band above it."""
    if confidence >= HIGH:
        return Band.HIGH
    if confidence >= MODERATE:
        return Band.MODERATE
    return Band.LOW if confidence >= LOW else Band.UNCERTAIN


def decide(
    probabilities: Probabilities,
    thresholds: Thresholds,
    *,
    red_flags: tuple[str, ...],
    local_safety: float,
    degraded: bool,
) -> Decision:
    """Return the decision for one message.

    ``probabilities`` are calibrated: the LLM's or, when ``degraded``, the local classifier's.
    """
    threshold = thresholds.degraded if degraded else thresholds.safety
    reasons = [f"red flag {flag}" for flag in red_flags]
    if probabilities.safety >= threshold:
        reasons.append(f"P(safety) {probabilities.safety:.2f} >= {threshold:.2f}")
    if not degraded and local_safety >= thresholds.local:
        reasons.append(f"local P(safety) {local_safety:.2f} >= {thresholds.local:.2f}")
    if probabilities.top == Category.SAFETY_COMPLIANCE and not reasons:
        reasons.append("safety is the most probable category")
    prefix = "degraded: " if degraded else ""
    if reasons:
        return _safety(probabilities.safety, prefix + "safety: " + "; ".join(reasons))
    return _by_confidence(probabilities, threshold, prefix)


def _safety(confidence: float, path: str) -> Decision:
    confirm = confidence < HIGH
    return Decision(
        category=Category.SAFETY_COMPLIANCE,
        confidence=confidence,
        band=band_of(confidence),
        review_required=confirm,
        routed_as_safety=True,
        path=path + ("; to be confirmed by a person" if confirm else ""),
    )


def _by_confidence(probabilities: Probabilities, threshold: float, prefix: str) -> Decision:
    category, confidence = probabilities.top, probabilities.confidence
    band = band_of(confidence)
    maybe_safety = probabilities.safety > threshold / 2
    review = band == Band.UNCERTAIN or (band == Band.LOW and (category == Category.SERVICE_ACTION or maybe_safety))
    handling = "to a person" if review else "automatic"
    if band == Band.MODERATE:
        handling += ", in the audit sample"
    if review and maybe_safety:
        handling += f" as possible safety (P(safety) {probabilities.safety:.2f} > {threshold / 2:.2f})"
    return Decision(
        category=category,
        confidence=confidence,
        band=band,
        review_required=review,
        sampled_for_audit=band == Band.MODERATE,
        routed_as_safety=review and maybe_safety,
        path=f"{prefix}{category.value}: confidence {confidence:.2f} ({band.value}), {handling}",
    )
