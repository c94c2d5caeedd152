"""The verb that says whether everything is in place."""

from __future__ import annotations

import argparse

from orchestrator.commands.opening import url_of
from orchestrator.commands.printing import print_json, visible
from orchestrator.commands.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add ``doctor``."""
    verbs.add(
        "doctor",
        do_doctor,
        "say what is configured, what is reachable, and what to do about the rest",
        examples=("doctor", "doctor --json"),
        more="Nothing is changed, no message is sent anywhere, and no secret is printed. Exit 1 when something fails.",
    )


def do_doctor(options: argparse.Namespace) -> int:
    """Print one line for each finding; return 1 when one of them fails."""
    from orchestrator.doctor import Status, examine

    findings = examine(url_of(options), options.environment)
    fails = sum(one.status == Status.FAIL for one in findings)
    if options.json:
        print_json({"healthy": not fails, "findings": [one.model_dump(mode="json") for one in findings]})
        return 1 if fails else 0
    for one in findings:
        print(f"{one.status.value:4}  {one.name}: {visible(one.told)}")
        if one.advice:
            print(f"      -> {visible(one.advice)}")
    warnings = sum(one.status == Status.WARN for one in findings)
    print(f"{len(findings)} checks: {fails} fail, {warnings} warn")
    return 1 if fails else 0
