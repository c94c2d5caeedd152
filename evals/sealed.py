"""Certify one candidate on the sealed split, and keep count of how often that split was looked at.

The certificate tells rates and bounds and no message ids, so that nobody can work on the messages that were missed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from evals import metrics
from evals.bootstrap import Difference, difference
from evals.columns import Columns, filled
from evals.data import Row, Split, load_examples, load_split, split_digest
from evals.errors import EvalError
from evals.gate import gate
from evals.intervals import tango_lower
from evals.keys import digest
from evals.proper import brier_scores
from evals.run import run
from evals.score import judge_rows
from evals.scored import Scored
from evals.workspace import Candidate, GateParams, Workspace, read_json, write_lines
from orchestrator.catalogue import find_model
from orchestrator.classify import Tuning
from orchestrator.llm import LLM
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Renderer, load_prompt

MOST_USES = 10  # of one sealed split: every look at it makes the next a little optimistic
ACCURACY_MARGIN = 0.02  # accuracy may be lower than the champion's by less than this
BRIER_MARGIN = 0.01  # the Brier score may be higher than the champion's by no more than this


def sealed_rows(workspace: Workspace) -> list[Row]:
    """Return the sealed rows; only promotion calls this."""
    return load_split(workspace.datasets, Split.SEALED)


def sealed_key(verdict: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the key of a certificate: that of the gate's verdict and the hash of the sealed split."""
    return digest({"verdict": verdict["key"], "sealed": split_digest(rows)})


def certificate_of(workspace: Workspace, key: str) -> dict[str, Any] | None:
    """Return the certificate that was given for a key, or None."""
    return next((line for line in _uses(workspace) if line["key"] == key and "verdict" in line), None)


def open_use(workspace: Workspace, key: str, candidate: str, rows: Sequence[Row]) -> int:
    """Write down that the sealed split is looked at, before it is, and return which use of it this is.

    A use that was opened and never closed, because the run was stopped, goes on as the same one. Raises ``EvalError`` after
    ten uses.
    """
    split = split_digest(rows)
    keys = list(dict.fromkeys(line["key"] for line in _uses(workspace) if line["sealed"] == split))
    if key in keys:
        return keys.index(key) + 1
    if len(keys) >= MOST_USES:
        raise EvalError(
            f"the sealed split was used {len(keys)} times, and {MOST_USES} is the most: write new sealed messages "
            "(datasets/README.md), validate, and promote then"
        )
    _append(workspace, {"key": key, "candidate": candidate, "sealed": split, "at": _now()})
    return len(keys) + 1


def close_use(workspace: Workspace, key: str, candidate: str, rows: Sequence[Row], certificate: dict[str, Any]) -> dict[str, Any]:
    """Write down what a use of the sealed split found, and return it as written."""
    line = {"key": key, "candidate": candidate, "sealed": split_digest(rows), "at": _now(), **certificate}
    _append(workspace, line)
    return line


def uses_left(workspace: Workspace) -> int:
    """Return how often the present sealed split may still be used."""
    split = split_digest(sealed_rows(workspace))
    return MOST_USES - len({line["key"] for line in _uses(workspace) if line["sealed"] == split})


async def outcomes_on(workspace: Workspace, candidate: Candidate, rows: Sequence[Row], llm: LLM, *, concurrency: int) -> list[Scored]:
    """Return a candidate's outcomes on ``rows``, judged with what was fitted on the calibration split and is frozen on promotion."""
    prompt = load_prompt(workspace.prompts / f"{candidate.prompt}.yaml")
    model = find_model(str(candidate.model))
    render = Renderer(prompt, model, load_examples(workspace.datasets))
    answers = await run(rows, prompt, render, llm, concurrency=concurrency, title=f"{candidate.id} on {len(rows)} rows")
    tuning = Tuning.model_validate(read_json(workspace.report(candidate.id, "tuning.json"), "run `dvc repro`"))
    local = LocalClassifier.load(workspace.classifier)
    return judge_rows(rows, [answer.answer for answer in answers], local, tuning, asked=render.asked, model=model)


def certify(
    candidate: Sequence[Scored], champion: Sequence[Scored] | None, expected: Sequence[str], params: GateParams, *, seed: int
) -> dict[str, Any]:
    """Return the certificate of a candidate from its outcomes on the sealed rows, and the champion's on the same.

    PASS takes the gate's PASS on these rows, accuracy non-inferior by 0.02 (Tango, one-sided 95 %), and an upper bound of the
    difference in Brier score of at most +0.01 (seed-level bootstrap, one-sided 95 %). The first champion has no predecessor:
    the floor alone decides.
    """
    judged = gate(candidate, champion, expected, params, split=Split.SEALED)
    measured = metrics.summary(Columns.of(candidate))
    reasons = list(judged["reasons"])
    checks = {
        name: {k: v for k, v in check.items() if k not in {"missed", "downgraded", "worse", "better"}}
        for name, check in judged["checks"].items()
    }
    if champion is not None and judged["judged"]:
        accuracy = judged["paired"]["accuracy"]
        gained, lost, n = len(accuracy["gained"]), len(accuracy["lost"]), accuracy["n"]
        low = tango_lower(gained, lost, n)
        checks["accuracy"] = {"difference": accuracy["difference"], "low": low, "margin": -ACCURACY_MARGIN}
        if low <= -ACCURACY_MARGIN:
            reasons.append(f"accuracy may be up to {low:+.3f} below the champion's, beyond {-ACCURACY_MARGIN:+.2f}")
        brier = _brier_difference(candidate, champion, seed)
        checks["brier"] = {"difference": brier.value, "high": brier.upper, "margin": BRIER_MARGIN}
        if brier.upper > BRIER_MARGIN:
            reasons.append(f"the Brier score may be up to {brier.upper:+.3f} above the champion's, beyond {BRIER_MARGIN:+.2f}")
    return {
        "verdict": "PASS" if not reasons else "FAIL" if judged["verdict"] != "INCONCLUSIVE" else "INCONCLUSIVE",
        "reasons": reasons,
        "n": judged["n"],
        "checks": checks,
        **{name: measured[name] for name in ("safety_capture", "over_flag_rate", "accuracy_system", "brier_calibrated")},
    }


def _brier_difference(candidate: Sequence[Scored], champion: Sequence[Scored], seed: int) -> Difference:
    theirs = {row.id: row for row in champion}
    mine, other = Columns.of(candidate), Columns.of(theirs[row.id] for row in candidate)
    ours, others = (brier_scores(filled(side.calibrated), mine.label) for side in (mine, other))
    return difference(ours, others, mine.seed, seed=seed)


def _uses(workspace: Workspace) -> list[dict[str, Any]]:
    path = workspace.sealed_uses
    if not path.exists():
        return []
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            lines.append({**entry, "key": entry["key"], "sealed": entry["sealed"]})
        except (ValueError, KeyError, TypeError):
            raise EvalError(f"{path}:{number}: not a use of the sealed split: restore the file with git") from None
    return lines


def _append(workspace: Workspace, line: dict[str, Any]) -> None:
    lines = [*_uses(workspace), line]
    write_lines(workspace.sealed_uses, (json.dumps(one, ensure_ascii=False) for one in lines))


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()
