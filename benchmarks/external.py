"""A reality check of the champion on labelled messages from elsewhere: ``python -m benchmarks.external FILE.jsonl``.

Each line holds ``message`` and ``label``. Nothing is kept and nothing may be tuned on it: the figures are for the record.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from evals.intervals import Estimate, proportion
from evals.progress import progress
from orchestrator.catalogue import find_model
from orchestrator.connect import open_classifier, open_llm
from orchestrator.release import load_release
from orchestrator.schema import Category, Classification, Message


async def classify(texts: list[str]) -> list[Classification]:
    """Return what the champion makes of every text."""
    release = load_release()
    async with open_llm(find_model(release.manifest.model), os.environ) as llm:
        classifier = open_classifier(release, llm)
        with progress("external", len(texts)) as advance:
            results = []
            for text in texts:
                results.append(await classifier(Message(text=text)))
                advance()
    return results


def main() -> int:
    """Print accuracy, safety recall and capture, and over-flagging, each with its interval."""
    if len(sys.argv) != 2:
        print("usage: python -m benchmarks.external FILE.jsonl", file=sys.stderr)
        return 2
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line]
    labels = [Category(row["label"]) for row in rows]
    results = asyncio.run(classify([row["message"] for row in rows]))
    pairs = list(zip(labels, results, strict=True))
    safety = [result for label, result in pairs if label == Category.SAFETY_COMPLIANCE]
    others = [result for label, result in pairs if label != Category.SAFETY_COMPLIANCE]
    show("accuracy, raw model", [r.raw_probabilities is not None and r.raw_probabilities.top == label for label, r in pairs])
    show("accuracy, calibrated", [r.failure is None and r.probabilities.top == label for label, r in pairs])
    show("accuracy, whole system", [r.decision.category == label for label, r in pairs])
    show("safety recall", [r.decision.category == Category.SAFETY_COMPLIANCE for r in safety])
    show("safety capture", [r.decision.routed_as_safety for r in safety])
    show("over-flag rate", [r.decision.routed_as_safety for r in others])
    return 0


def show(name: str, outcomes: list[bool]) -> None:
    """Print one proportion."""
    estimate: Estimate = proportion(sum(outcomes), len(outcomes))
    print(f"{name:24} {estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]  n = {estimate.n}")


if __name__ == "__main__":
    sys.exit(main())
