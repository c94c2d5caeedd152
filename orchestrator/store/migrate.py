"""Bring a database's schema up to date, or back: alembic's steps in one transaction, one process at a time."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from orchestrator.errors import OrchestratorError
from orchestrator.store.database import reading, writing

FOLDER = Path(__file__).with_name("migrations")


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
        return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """Return the newest revision."""
    return ScriptDirectory.from_config(_config()).get_current_head() or "base"


def _run(engine: Engine, revision: str, *, up: bool) -> None:
    with writing(engine, slow=True) as connection:
        try:
            (command.upgrade if up else command.downgrade)(_config(connection), revision)
        except CommandError as error:
            raise OrchestratorError(f"the schema cannot be brought to {revision!r} ({error}); the newest is {latest()}") from None


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
