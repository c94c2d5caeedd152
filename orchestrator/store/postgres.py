"""PostgreSQL connections that give up: on a server that cannot be reached, and on one that takes what is sent but never answers."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, event

T = TypeVar("T")
PING_S = 2.0  # whether a connection from the pool is still one
ANSWER_S = 6.0  # longer than a statement may wait for a lock
SLOW_S = 35.0  # longer than any statement may take
# libpq's own settings. The kernel notices a host that is gone; statements that wait or work for too long are ended by the server.
SETTINGS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5_000,
    "keepalives_idle": 5,
    "options": "-c lock_timeout=5000 -c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000",
}
AGAIN_S = 1.0  # after a failed connection; a crowd that waits for the same server is refused at once rather than one by one
CHAIN_LOCK = 6_021_998_372  # any number that means "the end of the audit chain" among this database's advisory locks
# A writer whose machine or network is gone holds the chain up for no longer than this.
ABANDONED_MS = 10_000


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is closed, as lost, when the server is silent for ``answer_s`` seconds.

    A host that is gone is noticed by the kernel, but a proxy, or a server that is stopped, acknowledges every packet and stays silent.
    """

    answer_s = ANSWER_S

    def wait(self, gen: PQGen[T], *arguments: Any, **named: Any) -> T:
        """Do one exchange with the server."""
        try:
            return super().wait(_until(time.monotonic() + self.answer_s, gen), *arguments, **named)
        except TimeoutError:
            self.close()
            raise psycopg.OperationalError(f"the server was silent for {self.answer_s:.0f} s") from None


def _until(deadline: float, exchange: PQGen[T]) -> Generator[Any, Any, T]:
    """Pass an exchange's wishes and its socket's readiness through; raise ``TimeoutError`` when nothing is ready at the deadline."""
    try:
        wish = next(exchange)
        while True:
            ready = yield wish  # 0 every tenth of a second while the socket is not
            if not ready and time.monotonic() > deadline:
                raise TimeoutError
            wish = exchange.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


class Connector:
    """Make an engine's connections; after a failure, say it again for a while instead of trying."""

    def __init__(self, engine: Engine) -> None:
        """Make the connections of ``engine``."""
        self._failed: tuple[float, psycopg.Error] | None = None
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "checkin", _expect_a_ping)
        event.listen(engine, "checkout", _expect_statements)

    def _connect(self, _dialect: Any, _record: Any, arguments: list[Any], named: dict[str, Any]) -> psycopg.Connection[Any]:
        failed = self._failed
        if failed and time.monotonic() < failed[0] + AGAIN_S:
            raise psycopg.OperationalError(str(failed[1]))
        try:
            return ImpatientConnection.connect(*arguments, **named)
        except psycopg.OperationalError as error:
            self._failed = (time.monotonic(), error)
            raise


def be_patient(connection: Connection) -> None:
    """Give a connection's server the time of the slowest statement that it allows, until the connection is given back."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, ImpatientConnection)  # noqa: S101  # the connector makes no others
    driver.answer_s = SLOW_S


def _expect_a_ping(driver: ImpatientConnection | None, _record: Any) -> None:
    if driver is not None:  # it is None where the connection was lost
        driver.answer_s = PING_S


def _expect_statements(driver: ImpatientConnection, _record: Any, _proxy: Any) -> None:
    driver.answer_s = ANSWER_S


def take_chain(connection: Connection) -> None:
    """Wait for the writers before this one; until its transaction ends, the end of the audit chain is its own."""
    abandoned = f"set_config('idle_in_transaction_session_timeout', '{ABANDONED_MS}', true)"
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({CHAIN_LOCK}), {abandoned}")
