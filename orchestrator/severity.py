"""Judge how soon a safety message needs a person: rules set a floor, above it the least expected cost decides.

Source of the decision: Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from orchestrator.calibration import FLOOR, softmax
from orchestrator.errors import ReleaseError
from orchestrator.safety import find_phrases
from orchestrator.safety_context import Listed
from orchestrator.schema import Record, Severity
from orchestrator.text_model import TextModel

SEVERITIES = tuple(Severity)  # the gravest first
_HERE = Path(str(resources.files("orchestrator")))
RULES = _HERE / "severity.yaml"
MODEL = _HERE / "models" / "severity.json"


class SeverityRule(Record):
    """A floor: where one of the red flags fires or one of the phrases is found, the message is no less than ``severity``."""

    id: str
    severity: Severity
    reason: str
    flags: Listed = ()
    phrases: tuple[str, ...] = ()


class Policy(Record):
    """``severity.yaml``: what a mistake costs, by what a message is and what it is judged, and the rules."""

    costs: dict[Severity, dict[Severity, float]]
    rules: tuple[SeverityRule, ...]

    @model_validator(mode="after")
    def _complete(self) -> Policy:
        if set(self.costs) != set(Severity) or any(set(row) != set(Severity) for row in self.costs.values()):
            raise ValueError("costs names every severity in its rows and its columns")
        if any(cost < 0 or (cost > 0) == (true == judged) for true, row in self.costs.items() for judged, cost in row.items()):
            raise ValueError("a right judgement costs 0 and a wrong one more")
        return self

    def matrix(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return the costs in the order of ``SEVERITIES``; shape (true, judged)."""
        return np.array([[self.costs[true][judged] for judged in SEVERITIES] for true in SEVERITIES])


class SeverityJudgement(Record):
    """How soon a person must act, why, and how probable the model holds each severity."""

    severity: Severity
    reasons: tuple[str, ...] = Field(min_length=1)
    probabilities: dict[Severity, float]


class Join(NamedTuple):
    """Text and red flags together: ``softmax(ln p / temperature + bias + the weights of the flags that fired)``."""

    temperature: float
    bias: NDArray[np.float64]  # (3,)
    weights: NDArray[np.float64]  # (flags, 3): what a flag adds to the log odds of each severity

    def __call__(self, raw: NDArray[np.float64], fired: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities (n, 3); ``raw`` (n, 3) are the text model's, ``fired`` (n, flags) holds 1 where a flag fired."""
        logs = np.log(np.maximum(raw, FLOOR))
        return softmax(logs / self.temperature + self.bias + fired @ self.weights)


class SeverityModel:
    """A text model joined with the red flags: ``text, flags -> calibrated probability by severity``."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take the parameters as ``evals.workflows.severity`` writes them."""
        self._model = TextModel(parameters["model"])
        self._flags = tuple(parameters["flags"])
        weights = np.array([*parameters["flags"].values()], dtype=np.float64).reshape(len(self._flags), len(SEVERITIES))
        self._join = Join(float(parameters["temperature"]), np.array(parameters["bias"], dtype=np.float64), weights)
        if sorted(self._model.labels) != sorted(SEVERITIES) or self._join.bias.shape != (len(SEVERITIES),) or self._join.temperature <= 0:
            raise ReleaseError("the severity model is not one of emergency, urgent and routine: train it again")

    @classmethod
    def load(cls, path: Path) -> SeverityModel:
        """Read a model; raise ``ReleaseError`` when the file is missing or not one."""
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReleaseError(f"{path}: not a severity model ({error}); train it: `python -m evals fit`") from None

    def __call__(self, text: str, flags: tuple[str, ...]) -> dict[Severity, float]:
        """Return the calibrated probability of every severity. A flag that is newer than the model adds nothing."""
        raw = self._model(text)
        fired = np.array([[flag in flags for flag in self._flags]], dtype=np.float64)
        shares = self._join(np.array([[raw[name] for name in SEVERITIES]]), fired)[0]
        return dict(zip(SEVERITIES, shares.tolist(), strict=True))


def judge(text: str, flags: tuple[str, ...]) -> SeverityJudgement:
    """Return how soon a person must act on a safety message, given the red flags that fired on it."""
    probabilities = load_model()(text, flags)
    severity = cheapest(np.array(list(probabilities.values())), load_policy())
    shares = ", ".join(f"{name.value} {share:.2f}" for name, share in probabilities.items())
    reasons = [f"the model: {shares}; {severity.value} costs least"]
    for rule, why in floors(text, flags):
        reasons.append(f"{rule.severity.value} at least: {rule.reason} ({why})")
        severity = graver(severity, rule.severity)
    return SeverityJudgement(severity=severity, reasons=tuple(reversed(reasons)), probabilities=probabilities)


def judge_severity(text: str, flags: tuple[str, ...]) -> Severity:
    """Return how soon a person must act."""
    return judge(text, flags).severity


def floors(text: str, flags: tuple[str, ...]) -> list[tuple[SeverityRule, str]]:
    """Return the rules that apply, the least grave first, each with what made it apply."""
    found = []
    for rule in load_policy().rules:
        fired = [flag for flag in flags if flag in rule.flags]
        if fired or find_phrases(text, rule.phrases):
            found.append((rule, ", ".join(fired) or "its wording"))
    return sorted(found, key=lambda pair: -SEVERITIES.index(pair[0].severity))


def cheapest(probabilities: np.ndarray[tuple[int], np.dtype[np.float64]], policy: Policy) -> Severity:
    """Return the severity of least expected cost; ``probabilities`` (3,) in the order of ``SEVERITIES``. Ties go to the graver one."""
    return SEVERITIES[int(np.argmin(probabilities @ policy.matrix()))]


def graver(one: Severity, other: Severity) -> Severity:
    """Return the graver of two severities."""
    return min(one, other, key=SEVERITIES.index)


@cache
def load_policy(path: Path = RULES) -> Policy:
    """Read costs and rules; raise ``ReleaseError`` for a file that does not hold them."""
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ReleaseError(f"{path}: not a severity policy: {error}") from None


@cache
def load_model(path: Path = MODEL) -> SeverityModel:
    """Read the packaged model, once."""
    return SeverityModel.load(path)
