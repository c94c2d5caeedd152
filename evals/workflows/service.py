"""Measure the service workflow's intents and slots, and train its intent model.

Intents: out-of-fold on dev and calibration, where the model's inputs are chosen too, and on gate, which nothing was chosen on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evals.data import Row, Split, load_split
from evals.intervals import Estimate, proportion
from evals.workflows.fit_text_model import fit_text_model, predict_out_of_fold
from evals.workflows.resample import f1_estimate, macro_f1_estimate
from evals.workflows.slot_scores import Scores, load_slot_labels, score_slots
from evals.workspace import write_lines
from orchestrator.service.intents import MODEL, IntentFinder, signs_in, with_signs

SEED = 0
WORST_PAIRS = 8
DECIMALS = 2  # of the coefficients: an error of 0.005 moves no score by a tenth, and the file is half as large
INPUTS: dict[str, Callable[[str], str]] = {"words": str, "signs": signs_in, "words and signs": with_signs}


def train(datasets: Path, seed: int, path: Path = MODEL) -> dict[str, Any]:
    """Train the intent model on the service rows of dev and calibration, write it to ``path`` whole or not at all, and return it."""
    rows = _tuned_on(datasets)
    model = fit_text_model([with_signs(row.message) for row in rows], _intents(rows), seed)
    model["coefficients"] = [[_short(value) for value in line] for line in model["coefficients"]]
    model["intercepts"] = [_short(value) for value in model["intercepts"]]
    for view in model["views"].values():
        view["idf"] = [round(value, DECIMALS + 1) for value in view["idf"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [json.dumps(model, ensure_ascii=False, separators=(",", ":"))])
    return model


def evaluate(datasets: Path) -> dict[str, object]:
    """Return the figures of intents and slots as plain JSON; raise ``EvalError`` when rows or slot labels are missing or wrong."""
    tuned, gate = _tuned_on(datasets), _service_rows(datasets, Split.GATE)
    outputs = {name: _out_of_fold(tuned, seen) for name, seen in INPUTS.items()}
    finder = IntentFinder.packaged()
    certified = [finder(row.message)[0].value for row in gate]
    labels = load_slot_labels(datasets / "slots.jsonl")
    return {
        "intents": {
            "out_of_fold": {name: _intent_figures(tuned, found) for name, found in outputs.items()},
            "gate": _intent_figures(gate, certified),
            "worst_pairs": {
                "out_of_fold": _worst_pairs(tuned, outputs["words and signs"]),
                "gate": _worst_pairs(gate, certified),
            },
        },
        "slots": {
            split.value: {name: _slot_figures(scores) for name, scores in score_slots(_service_rows(datasets, split), labels).items()}
            for split in (Split.DEV, Split.GATE)
        },
    }


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["### Intents", "", "| rows | inputs | n | accuracy | macro-F1 |", "|---|---|---|---|---|"]
    intents = figures["intents"]
    for name, one in intents["out_of_fold"].items():
        lines.append(_intent_line("dev and calibration, out-of-fold", name, one))
    lines.append(_intent_line("gate", "words and signs", intents["gate"]))
    lines += [
        "",
        "Intervals are 95 %: Clopper-Pearson, and a bootstrap of messages for F1.",
        "",
        "| rows | intent | taken for | times |",
        "|---|---|---|---|",
    ]
    for split, pairs in intents["worst_pairs"].items():
        lines += [f"| {split.replace('_', '-')} | {pair['intent']} | {pair['taken_for']} | {pair['times']} |" for pair in pairs]
    lines += ["", "### Slots", "", "| split | slot | labelled | found | precision | recall | F1 |", "|---|---|---|---|---|---|---|"]
    for split, slots in figures["slots"].items():
        for name, of in slots.items():
            shown = (_shown(of[metric]) for metric in ("precision", "recall", "f1"))
            lines.append(f"| {split} | {name} | {of['recall']['n']} | {of['precision']['n']} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _tuned_on(datasets: Path) -> list[Row]:
    return [row for split in (Split.DEV, Split.CALIBRATION) for row in _service_rows(datasets, split)]


def _service_rows(datasets: Path, split: Split) -> list[Row]:
    return [row for row in load_split(datasets, split) if row.intent is not None]


def _intents(rows: Sequence[Row]) -> list[str]:
    return [row.intent.value for row in rows if row.intent is not None]


def _short(value: float) -> float:
    return round(value, DECIMALS) or 0.0  # no -0.0


def _out_of_fold(rows: Sequence[Row], seen: Callable[[str], str]) -> list[str]:
    labels = _intents(rows)
    probabilities, _ = predict_out_of_fold([seen(row.message) for row in rows], labels, SEED)
    names = sorted(set(labels))
    return [names[index] for index in probabilities.argmax(axis=1)]


def _intent_figures(rows: Sequence[Row], found: Sequence[str]) -> dict[str, Any]:
    labels = _intents(rows)
    right = sum(label == one for label, one in zip(labels, found, strict=True))
    return {"accuracy": proportion(right, len(rows)).model_dump(), "macro_f1": macro_f1_estimate(labels, found, SEED).model_dump()}


def _worst_pairs(rows: Sequence[Row], found: Sequence[str]) -> list[dict[str, Any]]:
    mistaken = Counter((label, one) for label, one in zip(_intents(rows), found, strict=True) if label != one)
    ranked = sorted(mistaken.items(), key=lambda item: (-item[1], item[0]))[:WORST_PAIRS]
    return [{"intent": label, "taken_for": one, "times": times} for (label, one), times in ranked]


def _slot_figures(scores: Scores) -> dict[str, Any]:
    """``scores`` has a row a message: found, found rightly, labelled, labelled and found."""
    found, rightly, labelled, reached = (int(total) for total in np.asarray(scores, dtype=int).reshape(-1, 4).sum(axis=0))
    estimates = {"precision": proportion(rightly, found), "recall": proportion(reached, labelled), "f1": f1_estimate(scores, SEED)}
    return {name: estimate.model_dump() for name, estimate in estimates.items()}


def _intent_line(rows: str, inputs: str, figures: dict[str, Any]) -> str:
    accuracy = figures["accuracy"]
    return f"| {rows} | {inputs} | {accuracy['n']} | {_shown(accuracy)} | {_shown(figures['macro_f1'])} |"


def _shown(estimate: dict[str, Any]) -> str:
    one = Estimate.model_validate(estimate)
    return "none" if one.value is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
