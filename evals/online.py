"""Hold what a release does on live traffic against the evidence it was promoted on, from the events of the audit trail. Pure.

Every check is an e-process (``evals.sequential``), so the command may run after every message. A check alerts once its largest e-value
reaches ``number of checks / alpha`` (Bonferroni over the checks; the two sides of a check share one e-value): over the whole life of a
release that still is what was promised, the chance of any alert is at most ``alpha``.

What a person labels is mostly what the policy doubts, so labels at large say nothing about traffic. Only the random sample counts, which
the ledger draws by the hash of the id, and of it only the messages before the first one without a label: which of them get
labelled, and in what order, then makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import islice, takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.stats import t as student

from evals.errors import EvalError
from evals.intervals import CONFIDENCE, Estimate, proportion
from evals.sequential import RateTest, log_e_mean_above
from orchestrator.release import Release
from orchestrator.schema import CATEGORIES, Band, Category

ALPHA = 0.05
TOLERANCE = 0.02  # the evidence is reweighted to a declared prior, which is a guess: this far outside its interval is no news
WORST_BRIER = 2.0
PORTION = 4096  # messages tested at once, and held in memory
LARGEST = 700.0  # exp of more is no float

Event = Mapping[str, Any]


class AtPrior(BaseModel):
    """What the evidence leads one to expect of traffic; rates are reweighted to the declared prior."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    flag_rate: Estimate
    review_rate: Estimate
    degraded_rate: Estimate
    brier: Estimate
    accuracy: Estimate
    bands: dict[Band, Estimate]


class Status(StrEnum):
    """What a check says. TOO_FEW: even outcomes that were all alike could not have alerted yet."""

    OK = "ok"
    ALERT = "ALERT"
    TOO_FEW = "not enough"


class Check(BaseModel):
    """One check. ``low`` and ``high`` bound the null hypothesis: the expected interval, widened by the tolerance."""

    model_config = ConfigDict(frozen=True)
    name: str
    observed: Estimate
    expected: Estimate
    low: float
    high: float
    e_value: float
    status: Status


class Labels(BaseModel):
    """How far labelling has got. ``outside`` counts labels outside the random sample, which are not tested; ``next`` are to be labelled."""

    model_config = ConfigDict(frozen=True)
    sampled: int
    tested: int
    outside: int
    outside_corrected: int
    next: tuple[str, ...]


class Report(BaseModel):
    """The checks of one release. ``unknown`` counts messages recorded before the audit event said whether they were degraded."""

    model_config = ConfigDict(frozen=True)
    release: str
    since: datetime | None
    messages: int
    unknown: int
    labels: Labels
    alpha: float
    tolerance: float
    threshold: float
    checks: tuple[Check, ...]

    @property
    def alerts(self) -> tuple[str, ...]:
        """The names of the checks that alert."""
        return tuple(check.name for check in self.checks if check.status == Status.ALERT)


def expectations(release: Release) -> AtPrior:
    """Return what a release's evidence expects of traffic; raise ``EvalError`` where it was promoted before evidence held that."""
    manifest = release.manifest
    found = release.evidence()["metrics"].get("at_prior")
    if found is None:
        raise EvalError(
            f"release {manifest.id} was promoted before its evidence said what to expect of traffic (at_prior): "
            f"promote again, `python -m evals promote {manifest.candidate}`"
        )
    try:
        return AtPrior.model_validate(found)
    except ValidationError as error:
        raise EvalError(f"release {manifest.id}: its evidence cannot be used ({error}); promote again") from None


def check(
    events: Iterable[Event],
    expected: AtPrior,
    *,
    release: str,
    since: datetime | None = None,
    tolerance: float = TOLERANCE,
    alpha: float = ALPHA,
) -> Report:
    """Return the checks of a release over the events of an audit trail, in their order; other releases' events are passed over.

    ``since`` leaves out earlier messages and starts every test anew: choose it for a reason outside of these figures, or the promise on
    ``alpha`` is void. Memory holds one portion of messages, and the random sample.
    """
    evidence = _rates(expected)
    tests = {name: RateTest(*_null(estimate, tolerance, above=name == "degraded_rate")) for name, estimate in evidence.items()}
    trail = _Trail(release, since)
    observed = map(_observed, trail.read(events))
    while portion := list(islice(observed, PORTION)):
        tests = {name: test.after([known for one in portion if (known := one[name]) is not None]) for name, test in tests.items()}
    threshold = (len(tests) + 2) / alpha  # the two on labels follow
    labelled, errors = trail.labelled(), _complement(expected.accuracy)
    corrections = RateTest(*_null(errors, tolerance, above=True)).after([one.corrected for one in labelled])
    checks = (
        *(_rate_check(name, test, evidence[name], threshold) for name, test in tests.items()),
        _rate_check("correction_rate", corrections, errors, threshold),
        _brier_check([one.brier for one in labelled], expected.brier, tolerance, threshold),
    )
    return Report(
        release=release,
        since=since,
        messages=trail.messages,
        unknown=trail.messages - tests["degraded_rate"].n,
        labels=trail.summary(tested=len(labelled)),
        alpha=alpha,
        tolerance=tolerance,
        threshold=threshold,
        checks=checks,
    )


def _observed(event: Event) -> dict[str, bool | None]:
    """Return what is counted of one message; None where the event is from before that was recorded."""
    decision = event["decision"]
    whole = {"flag_rate": decision["routed_as_safety"], "review_rate": decision["review_required"], "degraded_rate": event.get("degraded")}
    return whole | {f"band_{band.value}": decision["band"] == band for band in Band}


def _rates(expected: AtPrior) -> dict[str, Estimate]:
    whole = {name: getattr(expected, name) for name in ("flag_rate", "review_rate", "degraded_rate")}
    return whole | {f"band_{band.value}": expected.bands[band] for band in Band}


class _Labelled(NamedTuple):
    corrected: bool
    brier: float


class _Trail:
    """One release's part of the audit trail: its messages as they stream by, its random sample, and the labels."""

    def __init__(self, release: str, since: datetime | None) -> None:
        self._release, self._since = release, since
        self.messages = 0
        self._sample: dict[str, Event] = {}
        self._labels: dict[str, Event] = {}

    def read(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the messages and keep the random sample and the last label of every message."""
        for event in events:
            kind = event.get("kind", "classified")
            if event.get("release") != self._release:
                continue
            if kind == "corrected":
                self._labels[event["request_id"]] = event
            elif kind == "classified" and (self._since is None or datetime.fromisoformat(event["at"]) >= self._since):
                self.messages += 1
                if event.get("random_sample"):
                    self._sample[event["request_id"]] = event
                yield event

    def labelled(self) -> list[_Labelled]:
        """Return the sampled messages before the first one without a label."""
        labels = {name: Category(event["label"]) for name, event in self._labels.items()}
        tested = takewhile(lambda name: name in labels, self._sample)
        return [_labelled(self._sample[name], labels[name]) for name in tested]

    def summary(self, *, tested: int) -> Labels:
        outside = [event for name, event in self._labels.items() if name not in self._sample]
        return Labels(
            sampled=len(self._sample),
            tested=tested,
            outside=len(outside),
            outside_corrected=sum(event["label"] != event["decided"] for event in outside),
            next=tuple(islice((name for name in self._sample if name not in self._labels), 5)),
        )


def _labelled(event: Event, label: Category) -> _Labelled:
    """Judge a message by its label; a degraded one counts as 1/3 each, as failures do in the evidence."""
    even = dict.fromkeys(CATEGORIES, 1 / len(CATEGORIES))
    shares = even if event["degraded"] else event["probabilities"]
    brier = sum((shares[category] - (category == label)) ** 2 for category in CATEGORIES)
    return _Labelled(corrected=event["decision"]["category"] != label, brier=brier)


def _null(expected: Estimate, tolerance: float, *, above: bool = False) -> tuple[float, float]:
    """Return the bounds of the null hypothesis of a rate; with ``above`` a low rate is no news."""
    return 0.0 if above else max(expected.low - tolerance, 0.0), min(expected.high + tolerance, 1.0)


def _complement(estimate: Estimate) -> Estimate:
    value = None if estimate.value is None else 1 - estimate.value
    return Estimate(value=value, low=1 - estimate.high, high=1 - estimate.low, n=estimate.n)


def _rate_check(name: str, test: RateTest, expected: Estimate, threshold: float) -> Check:
    return Check(
        name=name,
        observed=proportion(test.successes, test.n),
        expected=expected,
        low=test.low,
        high=test.high,
        e_value=_e_value(test.peak),
        status=_status(test.peak, threshold, enough=test.can_reach(math.log(threshold))),
    )


def _brier_check(scores: Sequence[float], expected: Estimate, tolerance: float, threshold: float) -> Check:
    high = min(expected.high + tolerance, WORST_BRIER)
    worst = np.full(len(scores), WORST_BRIER)
    paths = (log_e_mean_above(values, high, upper=WORST_BRIER) for values in (scores, worst))
    peak, possible = (max([0.0, *path]) for path in paths)
    return Check(
        name="brier",
        observed=_mean(np.asarray(scores, dtype=np.float64)),
        expected=expected,
        low=0.0,
        high=high,
        e_value=_e_value(peak),
        status=_status(peak, threshold, enough=possible >= math.log(threshold)),
    )


def _mean(scores: NDArray[np.float64]) -> Estimate:
    """Return the mean Brier score with Student's 95 % interval (1908), which is approximate; all is open below two scores."""
    n = len(scores)
    if n < 2:
        return Estimate(value=float(scores[0]) if n else None, low=0.0, high=WORST_BRIER, n=n)
    mean = float(scores.mean())
    half = float(student.ppf((1 + CONFIDENCE) / 2, n - 1) * scores.std(ddof=1) / math.sqrt(n))
    return Estimate(value=mean, low=max(mean - half, 0.0), high=min(mean + half, WORST_BRIER), n=n)


def _status(peak: float, threshold: float, *, enough: bool) -> Status:
    if peak >= math.log(threshold):
        return Status.ALERT
    return Status.OK if enough else Status.TOO_FEW


def _e_value(log_e: float) -> float:
    return math.exp(min(log_e, LARGEST))
