"""The verbs about queued messages that nobody could handle."""

from __future__ import annotations

import argparse

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table
from orchestrator.commands.verbs import Verbs, at_least_one

SHOWN = ("id", "red_flag", "error", "attempts", "created_at", "finished_at")


def add_verbs(verbs: Verbs) -> None:
    """Add ``jobs`` with its verbs."""
    group, _ = verbs.group("jobs", "list queued messages that could not be handled, or let them be handled again")
    failed = group.add("failed", do_failed, "list them, those with a red flag first", examples=("jobs failed",))
    failed.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="how many (default: %(default)s)")
    redrive = group.add("redrive", do_redrive, "queue them again: all, or those named", examples=("jobs redrive",))
    redrive.add_argument("ids", nargs="*", metavar="ID", help="as `jobs failed` shows them")


def do_failed(options: argparse.Namespace) -> int:
    """Print the jobs that failed and whose message is kept."""
    from orchestrator.store import jobs
    from orchestrator.store.database import reading

    with ledger_of(options) as ledger, reading(ledger.engine) as connection:
        found = [one.model_dump(mode="json") for one in jobs.list_unhandled(connection, options.limit)]
    if options.json:
        print_json(found)
    else:
        print_table(SHOWN, found, empty="there are none")
    return 0


def do_redrive(options: argparse.Namespace) -> int:
    """Queue failed jobs again."""
    from orchestrator.store import jobs
    from orchestrator.store.database import writing

    with ledger_of(options) as ledger, writing(ledger.engine, chain=False) as connection:
        count = jobs.redrive(connection, options.ids or None)
    if options.json:
        print_json({"redriven": count})
    else:
        print(f"{count} job(s) are queued again; the workers take them")
    return 0
