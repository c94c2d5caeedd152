"""The verbs that delete personal data: of one customer, and what is older than allowed."""

from __future__ import annotations

import argparse
import sys

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table
from orchestrator.commands.verbs import Verbs, add_by
from orchestrator.errors import OrchestratorError


def add_verbs(verbs: Verbs) -> None:
    """Add ``erase`` and ``retention``."""
    erase = verbs.add(
        "erase",
        do_erase,
        "erase everything personal about a customer; the audit trail stays whole",
        examples=('erase C-1 --by "privacy desk" --yes',),
        more="It cannot be undone: the keys that sealed it go.",
    )
    erase.add_argument("customer_id", metavar="CUSTOMER_ID", help="the customer_id the messages came with")
    add_by(erase)
    erase.add_argument("--yes", action="store_true", help="do not ask")
    retention = verbs.add(
        "retention",
        do_retention,
        "delete what is older than RETENTION_DAYS allows",
        examples=("retention --dry-run", """retention --json"""),
        more='RETENTION_DAYS is a JSON object of days by table, for instance {"interactions": 365, "audit_events": null}.',
    )
    retention.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def do_erase(options: argparse.Namespace) -> int:
    """Erase one customer's data."""
    from orchestrator.store.database import reading
    from orchestrator.store.listings import count_messages

    with ledger_of(options) as ledger:
        with reading(ledger.engine) as connection:
            count = count_messages(connection, ledger.keys.pseudonym_of(options.customer_id))
        confirm(f"Erase {count} message(s) of customer {options.customer_id!r} for good?", yes=options.yes)
        count = ledger.erase(options.customer_id, options.by)
    if options.json:
        print_json({"customer_id": options.customer_id, "messages": count, "by": options.by})
    else:
        print(f"{count} message(s) erased" if count else "there is no message of this customer")
    return 0


def do_retention(options: argparse.Namespace) -> int:
    """Delete rows whose time is up, or count them."""
    from orchestrator.store.database import writing
    from orchestrator.store.retention import RetentionDays, would_expire

    days = RetentionDays.of(options.environment)
    with ledger_of(options) as ledger:
        if options.dry_run:
            with writing(ledger.engine) as connection:
                rows = would_expire(connection, days, ledger.clock())
        else:
            rows = ledger.expire(days)
    if options.json:
        print_json({"dry_run": options.dry_run, "rows": rows, "days": days.model_dump()})
        return 0
    table = [{"table": name, "kept_days": kept or "for ever", "rows": rows.get(name, 0)} for name, kept in days]
    print_table(("table", "kept_days", "rows"), table, empty="")
    print(f"{sum(rows.values())} row(s) " + ("would be deleted; nothing was" if options.dry_run else "deleted"))
    return 0


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person to agree; raise ``OrchestratorError`` when nobody does, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise OrchestratorError("this cannot be undone, and there is nobody to ask: say --yes")
    print(f"{question} [yes/no] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise OrchestratorError("nothing was done")
