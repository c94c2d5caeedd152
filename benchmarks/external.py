"""A reality check on labelled messages from elsewhere: ``python -m benchmarks.external FILE.jsonl [CANDIDATE]``.

Without a candidate it is the released champion; with one, its prompt, calibration and examples as they stand now. Each
line holds ``message`` and ``label``. Nothing is kept and nothing may be tuned on it: the figures are for the record.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from evals.data import load_examples
from evals.intervals import Estimate, proportion
from evals.progress import progress
from evals.workspace import Candidate, Workspace, read_json
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Classifier, Tuning, judge
from orchestrator.connect import open_classifier, open_llm
from orchestrator.llm import LLM
from orchestrator.local_classifier import CANDIDATE as LOCAL
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.release import load_release
from orchestrator.schema import Answer, Category, Classification, Message, Source

WORKSPACE = Workspace(Path())


async def classify(texts: list[str], candidate: str | None) -> list[Classification]:
    """Return what the champion, or a candidate as it stands in ``reports/``, makes of every text."""
    messages = [Message(text=text) for text in texts]
    if candidate == LOCAL:
        local, tuning = LocalClassifier.load(WORKSPACE.classifier), _tuning(LOCAL)
        return [
            judge(m, Answer(probabilities=local(m.text), source=Source.LOCAL, label_mass=1.0), local, tuning, local.asked) for m in messages
        ]
    chosen = None if candidate is None else WORKSPACE.candidate(candidate)
    model = find_model(load_release().manifest.model if chosen is None else str(chosen.model))
    async with open_llm(model, os.environ) as llm:
        classifier = open_classifier(load_release(), llm) if chosen is None else _present(chosen, model, llm)
        with progress("external", len(messages)) as advance:
            results = []
            for message in messages:
                results.append(await classifier(message))
                advance()
    return results


def _present(candidate: Candidate, model: Model, llm: LLM) -> Classifier:
    prompt = load_prompt(WORKSPACE.prompts / f"{candidate.prompt}.yaml")
    render = Renderer(prompt, model, load_examples(WORKSPACE.datasets))
    return Classifier(prompt, render, llm, LocalClassifier.load(WORKSPACE.classifier), _tuning(candidate.id))


def _tuning(candidate: str) -> Tuning:
    return Tuning.model_validate(read_json(WORKSPACE.report(candidate, "tuning.json"), "run `dvc repro`"))


def main() -> int:
    """Print accuracy, safety recall and capture, and over-flagging, each with its interval."""
    if len(sys.argv) not in {2, 3}:
        print("usage: python -m benchmarks.external FILE.jsonl [CANDIDATE]", file=sys.stderr)
        return 2
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line]
    labels = [Category(row["label"]) for row in rows]
    results = asyncio.run(classify([row["message"] for row in rows], sys.argv[2] if len(sys.argv) == 3 else None))
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
