"""What a candidate changes against the champion: the record that every format of the verdict is written from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evals.champion import FOLDER as CHAMPION
from evals.errors import EvalError
from evals.gate import Verdict
from evals.report.files import REMEDY, Board, Difference, Entry, Estimate, Identity, Measured, Metrics, Pair, Pairs, read_result
from evals.report.judged import Judgement
from evals.workspace import Workspace


class Direction(StrEnum):
    """Which way a number went."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNCLEAR = "unclear"  # the interval of the change holds 0


@dataclass(frozen=True)
class Figure:
    """What is shown of a candidate: a field of ``Measured``, and the paired difference of ``Pair`` that tests it, if one does."""

    name: str
    words: str
    more_is_better: bool = False
    pair: str | None = None
    sign: int = 1  # of the pair's difference: over-flagging is what specificity lacks


FIGURES = (
    Figure("accuracy_system", "accuracy", more_is_better=True, pair="accuracy"),
    Figure("safety_recall", "safety recall", more_is_better=True),
    Figure("safety_capture", "safety capture", more_is_better=True, pair="safety_capture"),
    Figure("over_flag_rate", "over-flag rate", pair="specificity", sign=-1),
    Figure("nll_calibrated", "NLL, calibrated", pair="nll"),
    Figure("brier_calibrated", "Brier score, calibrated", pair="brier"),
    Figure("usd_per_1000", "USD per 1,000 messages"),
    Figure("latency_p50_s", "latency, median"),
    Figure("latency_p95_s", "latency, 95th percentile"),
)


@dataclass(frozen=True)
class Metric:
    """One figure of a candidate, the champion's, and the change from that to this.

    ``change`` has an interval where the difference was tested message by message. ``relative`` is the change as a share of the
    champion's value, None where that is 0. All three are None without a champion, and where nothing was measured.
    """

    figure: Figure
    candidate: Estimate
    champion: Estimate | None
    change: Estimate | None
    relative: float | None
    direction: Direction | None


@dataclass(frozen=True)
class Change:
    """A candidate's verdict and figures."""

    prompt: str | None
    model: str | None
    judgement: Judgement
    metrics: tuple[Metric, ...]

    @property
    def candidate(self) -> str:
        """The candidate's id."""
        return self.judgement.candidate

    @property
    def verdict(self) -> Verdict:
        """What the gate said."""
        return self.judgement.verdict


@dataclass(frozen=True)
class Champion:
    """Whom candidates were compared with: the release as it was promoted, measured on the present rows. ``name`` is the leaderboard's."""

    name: str
    release: str
    verdict: Verdict
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Changes:
    """Candidates in the order of the leaderboard, and whom they were compared with, if there was a champion."""

    split: str
    n: int
    champion: Champion | None
    candidates: tuple[Change, ...]

    @property
    def leader(self) -> Change | None:
        """The first that could take the champion's place, or else whoever stands first; None where only the champion is there."""
        rest = [one for one in self.candidates if not one.judgement.released]
        return next((one for one in rest if one.prompt), rest[0] if rest else None)


def read_changes(workspace: Workspace, names: list[str] | None = None) -> Changes:
    """Read the changes of so many candidates, all on the leaderboard where none are named.

    Raises ``EvalError`` for an unknown candidate, and where files are missing, broken or of different runs.
    """
    for name in names or ():
        workspace.candidate(name)
    board = read_result(workspace.reports / "leaderboard.json", Board)
    identity = read_result(workspace.report(CHAMPION, "champion.json"), Identity)
    entries = {entry.candidate: entry for entry in board.candidates}
    first = next((entry for entry in board.candidates if entry.champion), None)
    if (first is None) != (identity.release is None):
        raise EvalError(f"the leaderboard is of before the champion changed: {REMEDY}")
    if unread := [name for name in names or workspace.candidates() if name not in entries]:
        raise EvalError(f"{', '.join(unread)} not on the leaderboard: {REMEDY}")
    wanted = names or workspace.candidates()
    pairs = read_result(workspace.reports / "comparison.json", Pairs).pairs if first else ()
    read = tuple(_change(workspace, entry, first, identity, pairs) for name, entry in entries.items() if name in wanted)
    champion = Champion(first.candidate, str(identity.release), first.verdict, metrics_of(first, None, {})) if first else None
    return Changes(board.split, board.n, champion, read)


def metrics_of(measured: Measured, champion: Measured | None, differences: dict[str, Difference]) -> tuple[Metric, ...]:
    """Return every figure with its change; ``differences`` are the candidate's less the champion's, by their name in ``Pair``."""
    return tuple(_metric(figure, measured, champion, differences.get(figure.pair or "")) for figure in FIGURES)


def _metric(figure: Figure, measured: Measured, champion: Measured | None, tested: Difference | None) -> Metric:
    mine: Estimate = getattr(measured, figure.name)
    theirs: Estimate | None = getattr(champion, figure.name) if champion else None
    if mine.value is None or theirs is None or theirs.value is None:
        return Metric(figure, mine, theirs, None, None, None)
    change = Estimate(value=mine.value - theirs.value)
    if tested is not None:
        low, high = sorted(figure.sign * end + 0.0 for end in (tested.low, tested.high))  # + 0.0: never -0.0
        change = Estimate(value=figure.sign * tested.difference + 0.0, low=low, high=high)
    relative = (mine.value - theirs.value) / theirs.value if theirs.value else None
    return Metric(figure, mine, theirs, change, relative, _direction(figure, change))


def _direction(figure: Figure, change: Estimate) -> Direction:
    value = change.value or 0.0
    if value == 0 and not (change.low or change.high):
        return Direction.SAME
    if change.low is not None and change.high is not None and change.low <= 0 <= change.high:
        return Direction.UNCLEAR
    return Direction.BETTER if (value > 0) == figure.more_is_better else Direction.WORSE


def _change(workspace: Workspace, entry: Entry, champion: Entry | None, identity: Identity, pairs: tuple[Pair, ...]) -> Change:
    name = entry.candidate
    judgement = read_result(workspace.report(name, "verdict.json"), Judgement)
    metrics = read_result(workspace.report(name, "metrics.json"), Metrics)
    if not name == judgement.candidate == metrics.candidate:
        raise EvalError(f"the files in {workspace.report(name, '')} are of another candidate: {REMEDY}")
    if judgement.verdict != entry.verdict or judgement.release != identity.release:
        raise EvalError(f"the verdict on {name} is of another run than the leaderboard or the champion: {REMEDY}")
    measured = metrics.gate.model_copy(update={key: found for key, found in metrics.intervals.items() if key in Measured.model_fields})
    differences = _differences(pairs, name, champion.candidate) if champion else {}
    return Change(entry.prompt, entry.model, judgement, metrics_of(measured, champion, differences))


def _differences(pairs: tuple[Pair, ...], candidate: str, champion: str) -> dict[str, Difference]:
    """Return the paired differences candidate less champion; the file holds each pair one way round."""
    names = [figure.pair for figure in FIGURES if figure.pair]
    for pair in pairs:
        if (pair.candidate, pair.against) == (candidate, champion):
            return {name: getattr(pair, name) for name in names}
        if (pair.candidate, pair.against) == (champion, candidate):
            turned = {name: getattr(pair, name) for name in names}
            return {name: Difference(difference=-one.difference, low=-one.high, high=-one.low) for name, one in turned.items()}
    return {}
