"""Open what a verb works on: the ledger of the command line's options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands.printing import tell
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from orchestrator.store.ledger import Ledger


def url_of(options: argparse.Namespace) -> str:
    """Return the database that is meant: ``--database``, else what the environment says."""
    from orchestrator.store.ledger import default_database

    return options.database or default_database(options.environment)


@contextmanager
def ledger_of(options: argparse.Namespace, *, may_be_new: bool = False) -> Iterator[Ledger]:
    """Yield the ledger of a database that is there: opening an SQLite file that is not would make an empty one, and all be well.

    With ``may_be_new`` it is made, and that is said. Raises ``OrchestratorError`` when it is not there or no database,
    ``StoreUnavailableError`` when it does not answer.
    """
    from sqlalchemy.exc import DatabaseError

    from orchestrator.store.database import database_url
    from orchestrator.store.ledger import Ledger

    text = url_of(options)
    if missing := missing_file(database_url(text)):
        if not may_be_new:
            raise OrchestratorError(f"there is no database at {missing}: give --database or set DATABASE_URL; the first message makes one")
        tell(f"warning: there was no database at {missing}; a new, empty one is made: is it the one you mean?")
    try:
        ledger = Ledger.at(text, options.environment)
    except DatabaseError as error:
        raise OrchestratorError(f"what is at {shown(database_url(text))} is no database of ours ({error.orig})") from None
    try:
        yield ledger
    finally:
        ledger.close()


def unopened_ledger(options: argparse.Namespace) -> Ledger:
    """Return the ledger without touching its database: for where its files are."""
    from sqlalchemy import create_engine

    from orchestrator.store.database import database_url
    from orchestrator.store.ledger import Ledger

    return Ledger(create_engine(database_url(url_of(options)), hide_parameters=True), options.environment)


def missing_file(url: URL) -> Path | None:
    """Return the SQLite file that a URL names and that is not there."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    path = Path(url.database)
    return None if path.exists() else path


def shown(url: URL) -> str:
    """Return a database URL without its password."""
    return url.render_as_string(hide_password=True)
