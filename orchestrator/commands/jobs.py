"""The verbs about queued messages that nobody could handle."""

from __future__ import annotations

import argparse

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table, visible
from orchestrator.commands.verbs import Verbs, add_by, at_least_one

SHOWN = ("id", "red_flag", "error", "attempts", "created_at", "finished_at")


def add_verbs(verbs: Verbs) -> None:
    """Add ``jobs`` with its verbs."""
    group, _ = verbs.group("jobs", "list queued messages that could not be handled, or let them be handled again")
    failed = group.add("failed", do_failed, "list them, those with a red flag first", examples=("jobs failed",))
    failed.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="how many (default: %(default)s)")
    show = group.add(
        "show",
        do_show,
        "print the whole message of one; that is audited",
        examples=('jobs show ID --by "R. Ph." --reason "call the customer back"',),
    )
    show.add_argument("id", metavar="ID")
    add_by(show)
    show.add_argument("--reason", required=True, metavar="WHY", help="what for; stands in the audit trail, redacted")
    close = group.add("close", do_close, "forget one that a person has seen to", examples=('jobs close ID --by "R. Ph."',))
    close.add_argument("id", metavar="ID")
    add_by(close)
    redrive = group.add("redrive", do_redrive, "queue them again: all, or those named", examples=("jobs redrive",))
    redrive.add_argument("ids", nargs="*", metavar="ID", help="as `jobs failed` shows them")


def do_failed(options: argparse.Namespace) -> int:
    """Print the jobs that failed and whose message is kept."""
    from orchestrator.store.unhandled import list_unhandled

    with ledger_of(options) as ledger:
        found = [one.model_dump(mode="json") for one in list_unhandled(ledger, options.limit)]
    if options.json:
        print_json(found)
    else:
        print_table(SHOWN, found, empty="there are none")
    return 0


def do_show(options: argparse.Namespace) -> int:
    """Print a message that nobody could handle."""
    from orchestrator.store.unhandled import read_message

    with ledger_of(options) as ledger:
        message = read_message(ledger, options.id, options.by, options.reason)
    if options.json:
        print_json(message.model_dump(mode="json"))
    else:
        print(visible(message.text, lines=True))
    return 0


def do_close(options: argparse.Namespace) -> int:
    """Forget a message that nobody could handle."""
    from orchestrator.store.unhandled import close

    with ledger_of(options) as ledger:
        close(ledger, options.id, options.by)
    if options.json:
        print_json({"closed": options.id})
    else:
        print(f"job {options.id} is closed")
    return 0


def do_redrive(options: argparse.Namespace) -> int:
    """Queue failed jobs again."""
    from orchestrator.store.unhandled import redrive

    with ledger_of(options) as ledger:
        count = redrive(ledger, options.ids or None)
    if options.json:
        print_json({"redriven": count})
    else:
        print(f"{count} job(s) are queued again; the workers take them")
    return 0
