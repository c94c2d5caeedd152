"""The table of all settings, as documentation and as the verb ``python -m serve settings`` shows it."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.commands.printing import tell
from serve.allowed import allowed, default_of
from serve.settings import Settings


def settings_table() -> str:
    """Return the table in Markdown, in the order of the settings."""
    lines = ["| variable | takes | default | what |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        lines.append(f"| `{name.upper()}` | {allowed(field)} | {f'`{default}`' if default else ''} | {field.description} |")
    return "\n".join(line.replace("|  |", "| |") for line in lines)


def add_verbs(subparsers: Any) -> None:
    """Add ``settings`` to what ``add_subparsers`` returned; it sets ``run``. ``options.environment`` must be set before."""
    parser = subparsers.add_parser("settings", help="print all settings, or check those of the environment")
    parser.add_argument("--check", action="store_true", help="name everything that is wrong with the environment's, and start nothing")
    parser.set_defaults(run=do_settings)


def do_settings(options: argparse.Namespace) -> int:
    """Print the table; with ``--check`` the problems of the environment, and return 1 where there are any."""
    from serve.configure import problems_of

    if not options.check:
        print(settings_table())
        return 0
    problems = problems_of(options.environment)
    print("\n".join(problems) or "all settings are usable")
    if problems:
        tell(f"{len(problems)} problem(s)")
    return 1 if problems else 0
