"""Bring a database's schema up to date, or back: alembic's steps in one transaction, one process at a time.

Alembic is imported where there is a step to take: it costs a third of a second and 10 MB, and a service that starts mostly finds its
schema up to date.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select, table
from sqlalchemy.sql import column

from orchestrator.errors import OrchestratorError
from orchestrator.store.database import reading, writing

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).with_name("migrations")
_VERSION = table("alembic_version", column("version_num"))  # alembic's own, of one row


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Take every step up to ``revision``; nothing happens where the schema is there already."""
    if current(engine) == (latest() if revision == "head" else revision):
        return
    _run(engine, revision, up=True)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the steps after ``revision`` back; ``base`` drops everything. What older tables cannot hold is lost."""
    _run(engine, revision, up=False)


def current(engine: Engine) -> str | None:
    """Return the revision a database is at; None for one without migrations."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return None
        revision: str | None = connection.scalar(select(_VERSION.c.version_num))
        return revision


def latest() -> str:
    """Return the newest revision: the steps are files named ``v<revision>_<what for>.py``, each the one after that before it."""
    return max(path.name for path in (FOLDER / "versions").glob("v*.py")).partition("_")[0].removeprefix("v")


def _run(engine: Engine, revision: str, *, up: bool) -> None:
    from alembic import command
    from alembic.util import CommandError

    with writing(engine, slow=True) as connection:
        try:
            (command.upgrade if up else command.downgrade)(_config(connection), revision)
        except CommandError as error:
            raise OrchestratorError(f"the schema cannot be brought to {revision!r} ({error}); the newest is {latest()}") from None


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
