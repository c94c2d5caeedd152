"""The verbs about the labels that people gave."""

from __future__ import annotations

import argparse
from pathlib import Path

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table
from orchestrator.commands.verbs import Verbs, at_least_one

COLUMNS = {"id": str, "message": str, "label": str, "channel": str, "decided": str}


def add_verbs(verbs: Verbs) -> None:
    """Add ``feedback`` with its verbs."""
    group, _ = verbs.group("feedback", "list or export the labels that people gave")
    listing = group.add("list", do_list, "list the newest labels", examples=("feedback list --limit 20",))
    listing.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="how many (default: %(default)s)")
    export = group.add(
        "export",
        do_export,
        "write each labelled message once, redacted, with the last label it was given",
        examples=("feedback export labels.csv --corrections",),
        more="`python -m evals import FILE --split dev --text message --label label --channel channel` takes it.",
    )
    export.add_argument("file", metavar="FILE", type=Path, help="where to: .csv, .jsonl or .parquet")
    export.add_argument("--corrections", action="store_true", help="only labels that contradict what was decided")


def do_list(options: argparse.Namespace) -> int:
    """Print the newest labels, newest first."""
    from orchestrator.store.database import reading
    from orchestrator.store.listings import FEEDBACK, list_feedback

    with ledger_of(options) as ledger, reading(ledger.engine) as connection:
        found = list_feedback(connection, options.limit)
    if options.json:
        print_json(found)
    else:
        print_table(FEEDBACK, found, empty="nobody has given a label")
    return 0


def do_export(options: argparse.Namespace) -> int:
    """Write labelled messages to a file."""
    from orchestrator.table_writing import writing_table

    count = 0
    with ledger_of(options) as ledger, writing_table(options.file, COLUMNS) as write:
        for row in ledger.labelled(corrections_only=options.corrections):
            write(row)
            count += 1
    if options.json:
        print_json({"file": options.file, "rows": count})
    else:
        print(f"{count} labelled messages written to {options.file}")
    return 0
