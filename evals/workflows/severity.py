"""Train the severity judgement and measure it: by what its mistakes cost, on rows that it has not seen."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.bootstrap import clustered, interval, replicate
from evals.calibrate import folded, nll
from evals.data import Row, Split, load_splits
from evals.errors import EvalError
from evals.intervals import Estimate, proportion
from evals.workflows.fit_severity_join import fit_join
from evals.workflows.fit_text_model import fit_text_model, predict_out_of_fold
from evals.workspace import write_lines
from orchestrator.safety import load_rules, red_flags
from orchestrator.schema import Severity
from orchestrator.severity import MODEL, SEVERITIES, SeverityModel, cheapest, floors, graver, load_policy

TRAINED_ON = (Split.DEV, Split.CALIBRATION)
WAYS = ("rules and model", "model alone", "rules alone", "former rules", "always urgent")  # the first is served
SEED = 20261123  # of params.yaml
DIGITS = 6  # the last ones differ from machine to machine
Codes = NDArray[np.int_]

# What the workflow judged by before there was a model: two patterns and the flags.
_EMERGENCY_FLAGS = frozenset({"airway", "collapse", "overdose", "self_harm", "stroke_heart", "child_poisoning"})
_EMERGENCY = re.compile(
    r"(?i)\b(?:can'?t breathe|not breathing|unconscious|unresponsive|won'?t wake|throat (?:is )?clos|blue lips|seizure|chest pain"
    r"|overdos|kill myself|end (?:my life|it all)|collapsed|anaphyla|face (?:is )?droop)"
)
_URGENT = re.compile(
    r"(?i)\b(?:wrong (?:tablets?|pills?|medicine|dose|strength|person)|double dose|swell|swollen|faint|bleed|blood|vomit|hives"
    r"|pregnan|fever|rash|dizz|confus|blister|palpitat|severe|hospital|a&e|er\b|toddler|baby|child)"
)


class Sample(NamedTuple):
    """Safety rows with their severities as indices into ``SEVERITIES``, and the model's calibrated probabilities (n, 3)."""

    rows: Sequence[Row]
    labels: Codes
    probabilities: NDArray[np.float64]


def train(datasets: Path, seed: int, path: Path = MODEL) -> dict[str, Any]:
    """Train on the safety rows of dev and calibration, write the model to ``path``, and return its parameters.

    What the red flags add and the calibration are fitted on the text model's out-of-fold probabilities, so that no row helped to
    make its own.
    """
    rows = _safety_rows(datasets, TRAINED_ON)
    texts, names = [row.message for row in rows], [_severity(row).value for row in rows]
    raw = _in_order(predict_out_of_fold(texts, names, seed)[0])
    join = fit_join(raw, _fired(rows), _labels(rows))
    parameters = {
        "temperature": round(join.temperature, DIGITS),
        "bias": join.bias.round(DIGITS).tolist(),
        "flags": dict(zip(_flag_ids(), join.weights.round(DIGITS).tolist(), strict=True)),
        "model": fit_text_model(texts, names, seed),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [json.dumps(parameters)])
    return parameters


def evaluate(datasets: Path, *, gate: bool = True) -> dict[str, object]:
    """Return the figures of every way to judge, out of fold on dev and calibration; with ``gate`` also on gate.

    Those of calibration alone stand apart: the red flags were written on dev and look better there than they are. The
    figures on gate are for a change that is final; nothing may be chosen by them.
    """
    both = _out_of_fold(_safety_rows(datasets, TRAINED_ON))
    samples = {"dev and calibration, out of fold": both, "of these, calibration alone": _of(both, Split.CALIBRATION)}
    if gate:
        samples["gate"] = _held_out(_safety_rows(datasets, (Split.GATE,)))
    return {name: {way: _figures(sample, judged) for way, judged in _ways(sample).items()} for name, sample in samples.items()}


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown: a table a sample, and the confusion matrix of what is served."""
    lines = []
    for sample, ways in figures.items():
        n = next(iter(ways.values()))["cost"]["n"]
        lines += [f"### {sample} ({n} safety messages)", "", "| judged by | mean cost | emergency recall | accuracy | judged e / u / r |"]
        lines.append("|---|---|---|---|---|")
        for way, found in ways.items():
            cost, recall = Estimate(**found["cost"]), Estimate(**found["emergency_recall"])
            judged = " / ".join(str(sum(row[k] for row in found["confusion"])) for k in range(len(SEVERITIES)))
            lines.append(f"| {way} | {_shown(cost, 2)} | {_shown(recall, 3)} | {found['accuracy']['value']:.3f} | {judged} |")
        lines += ["", "Rules and model: what a message is, by what it is judged.", "", "| | " + " | ".join(SEVERITIES) + " |"]
        lines.append("|---|" + "---|" * len(SEVERITIES))
        served = zip(SEVERITIES, ways["rules and model"]["confusion"], strict=True)
        lines += [f"| {name.value} | " + " | ".join(str(count) for count in row) + " |" for name, row in served]
        lines.append("")
    return "\n".join(lines)


def _ways(sample: Sample) -> dict[str, Codes]:
    """Return what each way to judge says of the sample, as indices into ``SEVERITIES``."""
    policy = load_policy()
    ways: dict[str, list[Severity]] = {name: [] for name in WAYS}
    for row, probabilities in zip(sample.rows, sample.probabilities, strict=True):
        flags = red_flags(row.message)
        floor = Severity.URGENT if flags else Severity.ROUTINE
        model = both = cheapest(probabilities, policy)
        for rule, _ in floors(row.message, flags):
            floor, both = graver(floor, rule.severity), graver(both, rule.severity)
        for name, judged in zip(ways, (both, model, floor, _former(row.message, flags), Severity.URGENT), strict=True):
            ways[name].append(judged)
    return {name: np.array([SEVERITIES.index(one) for one in judged], dtype=int) for name, judged in ways.items()}


def _former(text: str, flags: tuple[str, ...]) -> Severity:
    if _EMERGENCY_FLAGS.intersection(flags) or _EMERGENCY.search(text):
        return Severity.EMERGENCY
    return Severity.URGENT if flags or _URGENT.search(text) else Severity.ROUTINE


def _figures(sample: Sample, judged: Codes) -> dict[str, Any]:
    costs = load_policy().matrix()[sample.labels, judged]
    emergency = sample.labels == SEVERITIES.index(Severity.EMERGENCY)
    confusion = np.zeros((len(SEVERITIES), len(SEVERITIES)), dtype=int)
    np.add.at(confusion, (sample.labels, judged), 1)
    return {
        "cost": _mean(costs, [row.seed_id for row in sample.rows]).model_dump(),
        "emergency_recall": proportion(int((judged[emergency] == sample.labels[emergency]).sum()), int(emergency.sum())).model_dump(),
        "accuracy": proportion(int((judged == sample.labels).sum()), len(judged)).model_dump(),
        "nll": nll(sample.probabilities, sample.labels),
        "confusion": confusion.tolist(),
    }


def _mean(costs: NDArray[np.float64], seeds: Sequence[str]) -> Estimate:
    clusters = clustered(seeds, seed=SEED)
    sums = clusters.sums(np.column_stack([costs, np.ones(len(costs))]))
    draws = replicate(lambda counts: (counts @ sums)[:, :1] / (counts @ sums)[:, 1:], clusters, seed=SEED)[:, 0]
    return interval(float(costs.mean()), draws, n=len(costs), seeds=len(clusters), open_range=(0.0, float(load_policy().matrix().max())))


def _out_of_fold(rows: Sequence[Row]) -> Sample:
    labels, fired = _labels(rows), _fired(rows)
    raw = _in_order(predict_out_of_fold([row.message for row in rows], [_severity(row).value for row in rows], SEED)[0])

    def joined(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> NDArray[np.float64]:
        return fit_join(raw[train], fired[train], labels[train])(raw[test], fired[test])

    return Sample(rows, labels, folded(len(rows), [row.seed_id for row in rows], joined))


def _of(sample: Sample, split: Split) -> Sample:
    kept = np.array([row.split == split for row in sample.rows])
    return Sample([row for row in sample.rows if row.split == split], sample.labels[kept], sample.probabilities[kept])


def _held_out(rows: Sequence[Row]) -> Sample:
    model = SeverityModel.load(MODEL)
    return Sample(rows, _labels(rows), np.array([list(model(row.message, red_flags(row.message)).values()) for row in rows]))


def _fired(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return 1 where a red flag fires on a row; shape (n, flags)."""
    return np.array([[flag in fired for flag in _flag_ids()] for fired in (red_flags(row.message) for row in rows)], dtype=np.float64)


def _flag_ids() -> tuple[str, ...]:
    return tuple(rule.id for rule in load_rules())


def _safety_rows(datasets: Path, splits: Sequence[Split]) -> list[Row]:
    rows = [row for row in load_splits(datasets, splits) if row.severity is not None]
    if {row.severity for row in rows} != set(Severity):
        raise EvalError(f"{datasets.name}: {', '.join(splits)} have no row of some severity: there is nothing to learn or to measure")
    return rows


def _labels(rows: Sequence[Row]) -> Codes:
    return np.array([SEVERITIES.index(_severity(row)) for row in rows], dtype=int)


def _severity(row: Row) -> Severity:
    if row.severity is None:
        raise ValueError(f"{row.id} has no severity")
    return row.severity


def _in_order(alphabetical: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns that are in the order of the labels' names in the order of ``SEVERITIES``."""
    return alphabetical[:, [sorted(SEVERITIES).index(name) for name in SEVERITIES]]


def _shown(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f}-{estimate.high:.{digits}f})"
