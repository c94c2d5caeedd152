"""The verbs that measure the parts behind the three workflows, and train their models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from evals.workspace import Workspace, write_json, write_lines

PARTS = {
    "retrieval": "Retrieval: does the knowledge base find the article, and know when it has none",
    "service": "Service actions: intents and slots",
    "severity": "Severity of safety messages",
    "pii": "Personal data: what the redaction finds and what it takes for it",
}
TRAINED = ("service", "severity")


def do_workflows(workspace: Workspace, options: argparse.Namespace) -> int:
    """Measure the parts, all or those named, and print the tables; with all, write them to reports/workflows."""
    sections = []
    for part in options.part or PARTS:
        figures: dict[str, Any] = _function(part, "evaluate")(workspace.datasets)
        table: str = _function(part, "render")(figures)
        sections.append(f"## {PARTS[part]}\n\n{table.strip()}\n")
        if options.json:
            print(json.dumps({part: figures}, indent=2))
        else:
            print(sections[-1])
        if not options.part:
            write_json(workspace.reports / "workflows" / f"{part}.json", figures)
    if not options.part:
        lines = "# The workflows, measured\n\nWritten by `python -m evals workflows`.\n\n" + "\n".join(sections)
        write_lines(workspace.reports / "workflows" / "README.md", lines.rstrip("\n").split("\n"))
    return 0


def do_fit(workspace: Workspace, _: argparse.Namespace) -> int:
    """Train the models of intents and severity on dev and calibration, and choose the threshold of an answer there."""
    from evals.workflows.abstention import store_threshold
    from orchestrator.knowledge_base.base import THRESHOLD

    for part in TRAINED:
        _function(part, "train")(workspace.datasets, workspace.params().seed)
        print(f"the model of {part} is trained")
    chosen = store_threshold(workspace.datasets, THRESHOLD)
    print(f"an article answers from a score of {chosen['threshold']} on")
    return 0


def _function(part: str, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(f"evals.workflows.{part}"), name)
    return function
