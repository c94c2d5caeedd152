"""The verbs of who works the escalation queue, and the list of tickets."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table, tell, visible
from orchestrator.commands.verbs import Verbs, add_by, at_least_one
from orchestrator.schema import Category

if TYPE_CHECKING:
    from orchestrator.store.escalations import Waiting

SHOWN = ("request_id", "severity", "status", "due_at", "overdue", "claimed_by", "category", "redacted_text")
MOST = 1000  # what the store lists at once


def add_verbs(verbs: Verbs) -> None:
    """Add ``escalations`` with its verbs, and ``tickets``."""
    group, parser = verbs.group("escalations", "list what waits for a person, or work it", do_print_queue)
    parser.set_defaults(all=False, overdue=False)
    listing = group.add(
        "list",
        do_list,
        "list the queue: the most severe first, then the one due first",
        examples=("escalations list --overdue", "escalations list --all --json"),
    )
    listing.add_argument("--all", action="store_true", help="the resolved ones too")
    listing.add_argument("--overdue", action="store_true", help="only those past their time")
    for name, help_ in (
        ("claim", "take an open escalation"),
        ("acknowledge", "say that you have begun to act on what you claimed"),
        ("resolve", "close what you claimed with what was done"),
    ):
        step = group.add(name, do_step, help_, examples=(f'escalations {name} REQUEST_ID --by "R. Ph."',))
        step.set_defaults(step=name)
        step.add_argument("request_id", metavar="REQUEST_ID")
        add_by(step)
        if name == "resolve":
            step.add_argument("--note", default="", metavar="TEXT", help="what was done; stored redacted")
            step.add_argument("--label", choices=[c.value for c in Category], help="the category the message should have had")
    reading = group.add(
        "read",
        do_read,
        "print the whole text of a safety message, decrypted; that it was read is audited first",
        examples=('escalations read REQUEST_ID --by "R. Ph." --reason "call the customer back"',),
    )
    reading.add_argument("request_id", metavar="REQUEST_ID")
    add_by(reading)
    reading.add_argument("--reason", required=True, metavar="WHY", help="what for; stands in the audit trail, redacted")
    tickets = verbs.add("tickets", do_tickets, "list the newest tickets", examples=("tickets --limit 20 --json",))
    tickets.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="how many (default: %(default)s)")


def do_print_queue(options: argparse.Namespace) -> int:
    """Print what waits as JSON."""
    print_json([one.model_dump(mode="json") for one in _queue(options)])
    return 0


def do_list(options: argparse.Namespace) -> int:
    """Print the queue."""
    if options.json:
        return do_print_queue(options)
    print_table(SHOWN, [one.model_dump() for one in _queue(options)], empty="nothing waits for a person")
    return 0


def do_step(options: argparse.Namespace) -> int:
    """Take one step with an escalation."""
    from orchestrator.store.escalations import Status

    with ledger_of(options) as ledger:
        if options.step == "claim":
            ledger.claim(options.request_id, options.by)
            status = Status.CLAIMED
        elif options.step == "acknowledge":
            ledger.acknowledge(options.request_id, options.by)
            status = Status.ACKNOWLEDGED
        else:
            ledger.resolve(options.request_id, options.by, options.note, Category(options.label) if options.label else None)
            status = Status.RESOLVED
    if options.json:
        print_json({"request_id": options.request_id, "status": status.value, "by": options.by})
    else:
        print(f"{options.request_id}: {status.value} by {options.by}")
    return 0


def do_read(options: argparse.Namespace) -> int:
    """Print a message as it was written."""
    with ledger_of(options) as ledger:
        text = ledger.read_message(options.request_id, options.by, options.reason)
    if options.json:
        print_json({"request_id": options.request_id, "text": text})
    else:
        print(visible(text, lines=True))
    return 0


def do_tickets(options: argparse.Namespace) -> int:
    """Print the newest tickets, newest first."""
    with ledger_of(options) as ledger:
        found = ledger.tickets(options.limit)
    if options.json:
        print_json(found)
    else:
        rows = [row | {"title": row["ticket"].get("title", "(erased)")} for row in found]
        print_table(("id", "created_at", "request_id", "intent", "title"), rows, empty="there are no tickets")
    return 0


def _queue(options: argparse.Namespace) -> list[Waiting]:
    from orchestrator.store.escalations import UNRESOLVED, Status

    with ledger_of(options, may_be_new=options.run is do_print_queue) as ledger:
        found = ledger.escalations(tuple(Status) if options.all else UNRESOLVED)
    if len(found) >= MOST:
        tell(f"only the first {MOST} are listed")
    return [one for one in found if one.overdue or not options.overdue]
