"""What would change if the champion's prompt ran on another model. Pure; ``evals.commands.release`` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.errors import EvalError
from evals.gate import COMPARISONS
from evals.scored import Scored
from evals.workspace import Candidate
from orchestrator.calibration import Fusion
from orchestrator.release import Release

FIGURES = (
    ("accuracy_raw", "accuracy, raw model"),
    ("accuracy_calibrated", "accuracy, calibrated"),
    ("accuracy_system", "accuracy, whole system"),
    ("safety_recall", "safety recall"),
    ("safety_capture", "safety capture"),
    ("over_flag_rate", "over-flag rate"),
    ("brier_calibrated", "Brier score, calibrated"),
    ("nll_calibrated", "NLL, calibrated"),
    ("failure_rate", "failures"),
    ("usd_per_1000", "USD per 1,000 messages"),
    ("latency_p50_s", "seconds a message, median"),
)


def migrant(release: Release | None, origin: str, target: str) -> Candidate:
    """Return the candidate that the champion becomes on another model.

    Raises ``EvalError`` when there is no champion, or it is not on ``origin``, or the two models are one.
    """
    if release is None:
        raise EvalError("there is no champion to migrate: promote a candidate first")
    if release.manifest.model != origin:
        raise EvalError(f"the champion is on {release.manifest.model}, not on {origin}: give --from {release.manifest.model}")
    if origin == target:
        raise EvalError(f"--from and --to are both {origin}: name another model of orchestrator/models.yaml")
    return Candidate(release.manifest.prompt, target, fused=isinstance(release.manifest.tuning.calibrator, Fusion))


def changes(champion: dict[str, Any], candidate: dict[str, Any], verdict: dict[str, Any], decided: tuple[int, int]) -> list[str]:
    """Return in words what changes from one measured state to the other; both are entries of the leaderboard.

    ``decided`` is how many messages of how many are decided otherwise.
    """
    lines = [f"{'':28}{'champion':>12}{'on the other':>14}{'change':>10}"]
    for name, words in FIGURES:
        before, after = _number(champion[name]), _number(candidate[name])
        change = "" if before is None or after is None else f"{after - before:+.3f}"
        lines.append(f"{words:28}{_shown(before):>12}{_shown(after):>14}{change:>10}")
    lines.append(f"{'safety threshold':28}{champion['threshold']:>12.3f}{candidate['threshold']:>14.3f}")
    lines.append(f"{decided[0]} of {decided[1]} messages are decided otherwise.")
    for name in COMPARISONS if verdict["paired"] else ():
        result = verdict["paired"][name]
        lines.append(f"{name}: {len(result['gained'])} gained, {len(result['lost'])} lost of {result['n']}")
    lines.append(f"Gate: {verdict['verdict']}" + "".join(f"\n  {reason}" for reason in verdict["reasons"]))
    return lines


def decided_otherwise(candidate: Sequence[Scored], champion: Sequence[Scored]) -> tuple[int, int]:
    """Return how many of the rows that both have are decided otherwise, and how many there are."""
    theirs = {row.id: row.classification.decision.category for row in champion}
    both = [row for row in candidate if row.id in theirs]
    return sum(row.classification.decision.category != theirs[row.id] for row in both), len(both)


def _number(value: Any) -> float | None:
    number: float | None = value["value"] if isinstance(value, dict) else value
    return number


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
