"""The verb that brings the database's schema up to date, or back."""

from __future__ import annotations

import argparse

from orchestrator.commands.forgetting import confirm
from orchestrator.commands.opening import missing_file, shown, url_of
from orchestrator.commands.printing import print_json
from orchestrator.commands.verbs import Verbs
from orchestrator.errors import OrchestratorError


def add_verbs(verbs: Verbs) -> None:
    """Add ``migrate``."""
    migrate = verbs.add(
        "migrate",
        do_migrate,
        "bring the database's schema up to date",
        examples=("migrate", "migrate --status", "migrate --down 0001 --yes"),
        more="Every other verb does so too when it opens a database; a deployment does it once, before.",
    )
    which = migrate.add_mutually_exclusive_group()
    which.add_argument("--to", metavar="REVISION", help="no further than this")
    which.add_argument("--down", metavar="REVISION", help="take the steps after this back; what older tables cannot hold is lost")
    which.add_argument("--status", action="store_true", help="only say where it is; exit 1 when it is not up to date")
    migrate.add_argument("--yes", action="store_true", help="with --down: do not ask")


def do_migrate(options: argparse.Namespace) -> int:
    """Migrate, or say where the schema is."""
    from orchestrator.store import migrate
    from orchestrator.store.database import database_url, open_engine

    url = database_url(url_of(options))
    if (missing := missing_file(url)) and (options.status or options.down):
        raise OrchestratorError(f"there is no database at {missing}: give --database or set DATABASE_URL")
    engine = open_engine(url)
    try:
        before = migrate.current(engine)
        if options.down:
            confirm(f"Take {shown(url)} back from {before} to {options.down}? What older tables cannot hold is lost.", yes=options.yes)
            migrate.downgrade(engine, options.down)
        elif not options.status:
            migrate.upgrade(engine, options.to or "head")
        after = migrate.current(engine)
    finally:
        engine.dispose()
    latest = migrate.latest()
    if options.json:
        print_json({"database": shown(url), "before": before, "revision": after, "latest": latest, "up_to_date": after == latest})
    else:
        print(f"{shown(url)} is at {after or 'no revision'}" + ("" if after == latest else f"; the latest is {latest}"))
    return 1 if options.status and after != latest else 0
