"""Open a database, SQLite or PostgreSQL, so that a commit is durable and a lost server is an error within seconds."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.errors import OrchestratorError, StoreUnavailableError

BUSY_S = 10  # SQLite: how long a writer waits for the one before it; `?timeout=SECONDS` in the URL says otherwise
POOL_TIMEOUT_S = 5  # how long a caller waits for one of the engine's connections
_log = logging.getLogger(__name__)


def database_url(text: str) -> URL:
    """Return a database URL; plain ``postgresql://`` means psycopg 3. Raises ``OrchestratorError`` for anything else than the two."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise OrchestratorError(f"{text!r} is no database URL: write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise OrchestratorError(f"{url.get_backend_name()} is not supported: use sqlite:///FILE or postgresql://USER@HOST/NAME")
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgresql", "postgres"} else url


def open_engine(url: URL, *, pool: int = 5) -> Engine:
    """Return an engine, making the folder of an SQLite file where it is missing. Nothing is connected to yet.

    Its errors never show a statement's parameters: they hold what customers said.
    """
    try:
        return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgres_engine(url, pool)
    except OSError as error:
        raise StoreUnavailableError(f"the folder of {url.database} cannot be made ({error.strerror}): check the path") from error
    except (NoSuchModuleError, ImportError):
        raise OrchestratorError("PostgreSQL needs psycopg: install the `postgres` extra") from None


def _sqlite_engine(url: URL) -> Engine:
    if url.database and not url.database.startswith("file:"):  # a URI names a file that is there
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    busy = {} if "timeout" in url.query else {"timeout": BUSY_S}
    engine = create_engine(url, hide_parameters=True, pool_timeout=POOL_TIMEOUT_S, connect_args=busy)
    event.listen(engine, "connect", _sqlite_settings)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _postgres_engine(url: URL, pool: int) -> Engine:
    from orchestrator.store import postgres

    settings = dict(postgres.SETTINGS)
    sizes = {"pool_size": pool, "max_overflow": pool, "pool_timeout": POOL_TIMEOUT_S}
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=settings, **sizes)
    postgres.Connector(engine)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection to read with. Raises ``StoreUnavailableError`` when the database does not answer.

    ``OrchestratorError`` says that an SQLite file is no database.
    """
    with _known_errors(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, *, chain: bool = True, slow: bool = False) -> Iterator[Connection]:
    """Yield a connection in a transaction that commits at the end; with ``chain`` it has the end of the audit chain to itself.

    ``slow`` is for what may rightly take more than seconds a statement: PostgreSQL is given the longest that it allows.
    Writers wait for each other rather than fail: SQLite takes its write lock at once, PostgreSQL an advisory lock. Raises
    ``StoreUnavailableError`` when the database does not answer, is full or is read-only; then nothing was written, unless the
    connection was lost during the commit itself.
    """
    with _known_errors(), engine.connect().execution_options(writing=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            from orchestrator.store import postgres

            if slow:
                postgres.be_patient(connection)
            if chain:
                postgres.take_chain(connection)
        yield connection


def empty_log(engine: Engine) -> None:
    """SQLite: move the write-ahead log into the database's file and cut it off, as it still holds what was just erased.

    It is for after the commit, so where others still read an older state, or it fails, there is only a warning.
    """
    if engine.dialect.name != "sqlite":
        return
    try:
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:  # a begun transaction would lock it
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except (sqlite3.Error, SQLAlchemyError) as error:
        busy = error
    if busy:
        told = "what was erased stays in the database's write-ahead log until its readers end and more is written (busy: %s)"
        _log.warning(told, busy)


@contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        if "file is not a database" in str(getattr(error, "orig", "")):  # SQLite's words
            raise OrchestratorError("what is there is no database of ours (file is not a database): give another in DATABASE_URL") from None
        if isinstance(error, OperationalError | PoolTimeoutError) or _unavailable(error):
            raise StoreUnavailableError(_advice(error)) from error
        raise


def _unavailable(error: SQLAlchemyError) -> bool:
    """Say whether the server refuses work for now: connection lost, shutting down, out of resources, or read-only (SQLSTATE classes)."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return state[:2] in {"08", "53", "57", "58"} or state == "25006" or bool(getattr(error, "connection_invalidated", False))


def _advice(error: SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", error)).strip().splitlines()
    cause = said[0] if said else type(error).__name__
    lower = cause.lower()
    if "readonly" in lower or "read-only" in lower:
        return f"the database is read-only ({cause}): nothing was written; make it writable, or point DATABASE_URL at the primary"
    if "full" in lower or "no space" in lower or "could not extend" in lower:
        return f"the database has no room left ({cause}): nothing was written; free disk space"
    if "locked" in lower:
        return f"another writer holds the database for too long ({cause}): nothing was written; try again"
    if "disk i/o" in lower:  # SQLite: also where the disk is too full for the index of its write-ahead log
        return f"the database's disk fails or has no room left ({cause}): nothing was written; free disk space, then look at the disk"
    if "unable to open" in lower:
        return f"the database file cannot be opened ({cause}): check DATABASE_URL and the folder's permissions"
    return f"the database does not answer ({cause}): check DATABASE_URL and that the server is up, then try again"


def _sqlite_settings(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions by itself: _sqlite_begin does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten, not left in free pages
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that begins by reading and then writes can fail with "locked" at once; one that begins to write waits its turn.
    writes = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
