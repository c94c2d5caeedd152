"""The reports read back: leaderboard, metrics and pairs, each held to the shape that what shows them relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from evals.errors import EvalError
from evals.gate import Verdict

REMEDY = "run `dvc repro`"


class Result(BaseModel):
    """Part of a file of the pipeline's; fields that nothing here shows are left out."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Estimate(Result):
    """A number with its 95 % interval, where there is one; the value is None where nothing was there to measure."""

    value: float | None
    low: float | None = None
    high: float | None = None


def _estimate(value: Any) -> Any:
    return {"value": value} if isinstance(value, int | float) else value


Number = Annotated[Estimate, BeforeValidator(_estimate)]  # files hold a bare number where there is no interval


class Measured(Result):
    """What was measured of a candidate on the gate split; losses are of the calibrated model, rates of the whole system."""

    accuracy_system: Number
    safety_recall: Number
    safety_capture: Number
    over_flag_rate: Number
    nll_calibrated: Number
    brier_calibrated: Number
    usd_per_1000: Number
    latency_p50_s: Number
    latency_p95_s: Number


class Entry(Measured):
    """A line of the leaderboard."""

    candidate: str
    prompt: str | None
    model: str | None
    champion: bool
    verdict: Verdict


class Board(Result):
    """``reports/leaderboard.json``."""

    split: str
    n: int
    candidates: tuple[Entry, ...]


class Metrics(Result):
    """``reports/<candidate>/metrics.json``; ``intervals`` are those of the numbers that are no proportions."""

    candidate: str
    gate: Measured
    intervals: dict[str, Estimate]


class Difference(Result):
    """A paired difference with its 95 % interval."""

    difference: float
    low: float
    high: float


class Pair(Result):
    """Two candidates of ``reports/comparison.json``: the first less the second."""

    candidate: str
    against: str
    accuracy: Difference
    safety_capture: Difference
    specificity: Difference
    brier: Difference
    nll: Difference


class Pairs(Result):
    """``reports/comparison.json``, which is a list."""

    pairs: tuple[Pair, ...]


class Identity(Result):
    """``reports/champion/champion.json``: whose outcomes candidates were compared with; None without a champion."""

    release: str | None
    candidate: str | None


R = TypeVar("R", bound=Result)


def read_result(path: Path, shape: type[R]) -> R:
    """Read one of the pipeline's JSON files; raise ``EvalError`` with the remedy where it is missing, broken or of another shape."""
    try:
        content = path.read_bytes()
        if shape is Pairs:
            content = b'{"pairs": %b}' % content
        return shape.model_validate_json(content)
    except OSError:
        raise EvalError(f"{path} is missing: {REMEDY}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvalError(f"{path} is not what the pipeline writes ({where}: {first['msg']}): {REMEDY}") from None
