"""The configuration that promptfoo reads, made from the cases: ids and expectations, never a message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evals.promptfoo.cases import Case, Suite
from evals.workspace import Workspace, write_lines

HERE = Path(__file__).resolve().parent
TIMEOUT_MS = 600_000  # of one call: the first opens the model, and a rate limit may ask for a pause of a minute or more


def configuration(workspace: Workspace, subject: str, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the configuration that puts ``cases`` to a candidate or the champion."""
    return {
        "description": f"{subject}: {len(cases)} cases of critical, robustness, injection and redteam",
        "prompts": ["{{ row }}"],  # a name for the page; the provider looks the message up and renders it
        "providers": [provider(workspace, subject)],
        "tests": [_test(case) for case in cases],
        "evaluateOptions": {"cache": False},
        "sharing": False,
    }


def write_configuration(path: Path, configuration_: dict[str, Any]) -> None:
    """Write a configuration as YAML, whole or not at all."""
    write_lines(path, [yaml.safe_dump(configuration_, sort_keys=False, allow_unicode=True, width=120).rstrip()])


def provider(workspace: Workspace, subject: str, **more: str) -> dict[str, Any]:
    """Return the provider that asks a subject; ``more`` is handed to it."""
    config = {"candidate": subject, "root": str(workspace.root.resolve()), "timeout": TIMEOUT_MS, **more}
    return {"id": f"file://{HERE / 'provider.py'}", "label": subject, "config": config}


def assertion(suite: Suite) -> dict[str, str]:
    """Return the assertion of a suite."""
    return {"type": "python", "value": f"file://{HERE / 'assertions.py'}:{suite.value}", "metric": suite.value}


def _test(case: Case) -> dict[str, Any]:
    names = {"row": case.row.id, "attack": case.attack, "expectation": case.expectation and case.expectation.value}
    return {
        "description": case.id,
        "vars": {name: value for name, value in names.items() if value},
        "metadata": {"suite": case.suite.value, "label": case.row.label.value},
        "assert": [assertion(case.suite)],
    }
