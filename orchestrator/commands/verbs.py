"""How every verb is declared: what it does, examples, and the options that all of them share."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import Any

from orchestrator.errors import OrchestratorError

WIDTH = 100  # of a verb's description
LONGEST_NAME = 128  # as the tables hold it
PROGRAM = "python -m orchestrator"
EXIT_CODES = """exit codes: 0 done; 1 a check found something; 2 a mistake in what was asked for;
            3 the store takes nothing, try again; 130 interrupted"""

Run = Callable[[argparse.Namespace], int]


def new_parser() -> argparse.ArgumentParser:
    """Return the parser without its verbs. ``--database`` and ``--json`` may stand before or, as all verbs share them, behind a verb."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Classify messages with the promoted champion, act on them, and look after what was recorded.",
        epilog=f"examples:\n  {PROGRAM} classify 'where is my parcel?'\n  {PROGRAM} batch messages.csv --output answers.jsonl\n"
        f"  {PROGRAM} doctor\n\n{EXIT_CODES}\n\nEvery verb is told in docs/command-line.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared()],
    )
    parser.set_defaults(database=None, json=False)
    return parser


class Verbs:
    """Verbs of one parser, or of a verb that has verbs of its own."""

    def __init__(self, subparsers: Any) -> None:
        """Add to what ``add_subparsers`` returned."""
        self._subparsers = subparsers

    def add(self, name: str, run: Run | None, help_: str, *, examples: tuple[str, ...] = (), more: str = "") -> argparse.ArgumentParser:
        """Add a verb. ``examples`` are what stands behind the program's name; ``more`` follows the help in the verb's own ``--help``."""
        lines = "\n".join(f"  {PROGRAM} {example}" for example in examples)
        parser: argparse.ArgumentParser = self._subparsers.add_parser(
            name,
            help=help_,
            description=textwrap.fill(f"{help_[0].upper()}{help_[1:]}. {more}".rstrip(), WIDTH),
            epilog=f"example{'s' if len(examples) > 1 else ''}:\n{lines}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[_shared()],
        )
        if run is not None:
            parser.set_defaults(run=run)
        return parser

    def group(self, name: str, help_: str, run: Run | None = None) -> tuple[Verbs, argparse.ArgumentParser]:
        """Add a verb with verbs of its own; ``run`` is what it does without one, else one must be given."""
        parser = self.add(name, run, help_)
        return Verbs(parser.add_subparsers(required=run is None, metavar="verb")), parser


def _shared() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument(
        "--database", metavar="URL", help="the database (default: DATABASE_URL, else orchestrator.db in DATA_DIR, else in var)"
    )
    shared.add_argument("--json", action="store_true", help="print JSON for programs")
    return shared


def at_least_one(text: str) -> int:
    """Return a whole number of one or more, for argparse."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def add_by(parser: argparse.ArgumentParser) -> None:
    """Add who does it, which is audited."""
    parser.add_argument("--by", required=True, type=_who, metavar="WHO", help="who does it; stands in the audit trail")


def _who(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise OrchestratorError(f"--by: the name has {len(name)} characters; at most {LONGEST_NAME} are stored")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise OrchestratorError("--by: the name is not UTF-8: write it in the encoding of your terminal") from None
    return name
