"""Command line of the orchestrator: ``python -m orchestrator <verb>``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from orchestrator.commands import audit, batch, classify, doctor, escalations, feedback, forgetting, jobs, keys, outbox, schema
from orchestrator.commands.verbs import Verbs, new_parser
from orchestrator.errors import OrchestratorError, StoreUnavailableError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, 1 when a check found something, 2 for a mistake of the user's, 3 when the store takes nothing (try again)."""
    try:
        options = _parser().parse_args(arguments)
        options.environment = os.environ
        status: int = options.run(options)
        sys.stdout.flush()
    except StoreUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except OrchestratorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(": ".join(["interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read the output has seen enough (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = new_parser()
    verbs = Verbs(parser.add_subparsers(required=True, metavar="verb"))
    for group in (classify, batch, escalations, feedback, jobs, audit, outbox, forgetting, keys, schema, doctor):
        group.add_verbs(verbs)
    return parser


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a customer's text may hold what the terminal cannot show
    sys.exit(main())
