"""What a result is the result of: the key that a verdict is given for, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evals.data import Row, Split, load_split, split_digest
from evals.run import EVALUATED
from evals.workspace import Candidate, Workspace
from orchestrator.catalogue import Model
from orchestrator.schema import Asked

PACKAGES = Path(__file__).resolve().parent.parent
# The code that turns answers into outcomes. dvc.yaml names each as a dependency of the score stages; a test holds the two equal.
CODE = (
    "evals/calibrate.py",
    "evals/fuse.py",
    "evals/score.py",
    "evals/scored.py",
    "evals/threshold.py",
    "evals/tune.py",
    "evals/venn_abers.py",
    "orchestrator/calibration.py",
    "orchestrator/classify.py",
    "orchestrator/local_classifier.py",
    "orchestrator/policy.py",
    "orchestrator/red_flags.yaml",
    "orchestrator/safety.py",
    "orchestrator/safety_context.py",
    "orchestrator/safety_phrases.py",
    "orchestrator/safety_positions.py",
    "orchestrator/safety_spelling.py",
    "orchestrator/safety_text.py",
    "orchestrator/tfidf.py",
)


def result_parts(workspace: Workspace, candidate: Candidate, rows: Sequence[Row], asked: Asked, model: Model | None) -> dict[str, Any]:
    """Return what determines a candidate's outcomes on ``rows``: prompt, model, decoding, data, code and the parameters of the fits.

    ``rows`` are those evaluated; dev is added to the data, for it trained the local classifier and gave the examples.
    """
    params = workspace.params()
    return {
        "candidate": candidate.id,
        "prompt": asked.prompt,
        "model": asked.model,
        "decoding": None if model is None else digest(model.decoding()),
        "data": data_digests(workspace, rows),
        "code": code_digest(),
        "params": {"safety": params.safety.model_dump(), "seed": params.seed, "sample": params.sample},
    }


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the names of the parts that two results differ in."""
    return [name for name in mine if mine[name] != theirs.get(name)]


def data_digests(workspace: Workspace, rows: Sequence[Row]) -> dict[str, str]:
    """Return the hash of every split that results on ``rows`` rest on."""
    used = {split: [row for row in rows if row.split == split] for split in EVALUATED}
    used[Split.DEV] = load_split(workspace.datasets, Split.DEV)
    return {split.value: split_digest(used[split]) for split in sorted(used)}


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """Return the SHA-256 of the running code that turns answers into outcomes."""
    return digest({name: hashlib.sha256((PACKAGES / name).read_bytes()).hexdigest() for name in CODE})
