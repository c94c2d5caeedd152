"""How long measuring takes: ``python -m benchmarks.scoring [ROWS]``, ten candidates of 1,400 rows and one of ROWS (a million).

The outcomes are a committed candidate's, repeated under new seeds. They are compared with one pass over the rows one by one, which
gives the same numbers but no bootstrap interval: 2,000 resamples would take as many passes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evals import metrics
from evals.bootstrap import REPLICATES
from evals.calibrate import nll
from evals.columns import Columns
from evals.data import Split
from evals.proper import brier_scores
from evals.scored import Scored, iter_outcomes, read_outcomes
from evals.workspace import Workspace, write_lines

WORKSPACE = Workspace(Path())
OUTCOMES = WORKSPACE.report("classify-005_smollm2-135m", "outcomes.jsonl")
CANDIDATES, ROWS, MANY = 10, 1400, 1_000_000


def measured(rows: Iterable[Scored]) -> dict[str, Any]:
    """Return everything that ``metrics.json`` holds of gate rows."""
    params = WORKSPACE.params()
    return metrics.measurements(Columns.of(rows), params.prior, seed=params.seed)


def row_by_row(rows: list[Scored]) -> list[float | None]:
    """Return what the leaderboard shows, each number by a loop over the rows."""
    labels = metrics.label_indices(rows)
    raw = metrics.matrix(row.classification.raw_probabilities for row in rows)
    calibrated = metrics.matrix(None if row.classification.failure else row.classification.probabilities for row in rows)
    return [
        *(metrics.accuracy(rows, predicted).value for predicted in (metrics.by_raw, metrics.by_calibrated, metrics.by_system)),
        metrics.safety_capture(rows).value,
        *(score for p in (raw, calibrated) for score in (nll(p, labels), float(brier_scores(p, labels).mean()))),
        float(np.percentile([row.classification.usage.latency_s for row in rows], 95)),
    ]


def repeated(lines: list[str], count: int) -> Iterator[str]:
    """Yield ``count`` outcome lines, each repetition under an id and a seed of its own, its probabilities and its time a little moved."""
    rng = np.random.default_rng(0)
    for index in range(count):
        outcome = json.loads(lines[index % len(lines)])
        number, share = 10_000_000 + index, rng.uniform(0, 0.1)
        for name in ("probabilities", "raw_probabilities"):
            one = outcome["classification"][name]
            one.update({category: (1 - share) * p + share / len(one) for category, p in one.items()})
        outcome["classification"]["decision"]["confidence"] *= 1 - share
        outcome["classification"]["usage"]["latency_s"] *= 1 + share
        yield json.dumps(outcome | {"id": f"m{number}", "seed_id": f"s{number}"})


def main() -> None:
    """Print seconds for both sizes, the peak of the memory for the large one, and the old way beside."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    lines = [row.model_dump_json(exclude_none=True) for row in read_outcomes(OUTCOMES) if row.split == Split.GATE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.jsonl"
        write_lines(path, repeated(lines, many))
        before, started = _peak_mb(), time.perf_counter()
        columns = Columns.of(iter_outcomes(path))
        read = time.perf_counter()
        params = WORKSPACE.params()
        metrics.measurements(columns, params.prior, seed=params.seed)
        took = time.perf_counter() - read
    print(f"{many} outcomes: read {read - started:.1f} s, measured {took:.1f} s, peak memory {_peak_mb():.0f} MB ({before:.0f} before)")

    rows = [Scored.model_validate_json(line) for line in repeated(lines, ROWS)]
    started = time.perf_counter()
    for _ in range(CANDIDATES):
        measured(rows)
    columnar = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(CANDIDATES):
        row_by_row(rows)
    looped = time.perf_counter() - started
    print(f"{CANDIDATES} candidates of {ROWS} rows, {REPLICATES} resamples: {columnar:.1f} s")
    print(f"row by row, a part of the numbers: {looped:.2f} s a pass, so {looped * REPLICATES:.0f} s for {REPLICATES} resamples")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
