"""The disk is full, or the database read-only: nothing is written by half, the error says why, and work goes on when it is mended."""

import os
import re
import time

import numbered
import pytest
from small_disk import cluster, fill, open_folder, own, small_disk
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url

from orchestrator.errors import StoreUnavailableError
from orchestrator.store.ledger import Ledger

NO_ROOM = "no room"


def write_until_refused(ledger, first, limit=5000):
    """Write numbers, several at a time, until one is refused; return those acknowledged, the next number and the error."""
    acknowledged = []
    for start in range(first, first + limit, 16):
        numbers = range(start, start + 16)
        futures = [ledger.submit(numbered.message(n), numbered.outcome(n, f"{n}"), numbered.idempotency(n)) for n in numbers]
        errors = [future.exception(timeout=60) for future in futures]
        acknowledged += [number for number, error in zip(numbers, errors, strict=True) if error is None]
        if refused := [error for error in errors if error]:
            return acknowledged, start, refused[0]
    raise AssertionError("the disk never got full")


def wait_for(ledger, within_s=30):
    """Return when the database answers; a connection that failed is not tried again for a second."""
    until = time.monotonic() + within_s
    while True:
        try:
            return ledger.ping()
        except StoreUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.1)


def assert_goes_on(ledger, acknowledged, first):
    """Everything acknowledged is there, and the numbers that were refused can be written now."""
    assert set(acknowledged) <= numbered.held_numbers(ledger)
    more = range(first, first + 32)
    for number in more:
        numbered.write(ledger, number, f"again-{number}")
    assert {*acknowledged, *more} == numbered.held_numbers(ledger)


def test_sqlite_at_its_largest_size_refuses_and_goes_on_when_it_may_grow(tmp_path):
    ledger = Ledger.at(f"sqlite:///{tmp_path}/full.db", os.environ)
    pages = [0]
    event.listen(ledger.engine, "checkout", lambda driver, *_: driver.execute(f"PRAGMA max_page_count={pages[0]}"))
    with ledger.engine.connect() as connection:
        pages[0] = connection.execute(text("PRAGMA page_count")).scalar_one() + 100
    acknowledged, refused, error = write_until_refused(ledger, 0)
    assert isinstance(error, StoreUnavailableError)
    assert NO_ROOM in str(error)
    assert acknowledged, "it was full before anything was written"
    assert set(acknowledged) == numbered.held_numbers(ledger)
    pages[0] *= 1000
    assert_goes_on(ledger, acknowledged, refused)
    ledger.close()


def test_sqlite_on_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 8) as disk:
        monkeypatch.setenv("DATA_DIR", str(disk))  # the checkpoints are on it too
        ledger = Ledger.at(f"sqlite:///{disk}/full.db", os.environ)
        before = [number for number in range(8) if numbered.write(ledger, number, f"{number}")]
        ballast = fill(disk, leaving=300_000)
        acknowledged, refused, error = write_until_refused(ledger, 8)
        assert isinstance(error, StoreUnavailableError)
        assert NO_ROOM in str(error)
        assert {*before, *acknowledged} == numbered.held_numbers(ledger)
        ballast.unlink()
        assert_goes_on(ledger, [*before, *acknowledged], refused)
        ledger.close()


# Without room for its write-ahead log PostgreSQL stops altogether; whether it still tells its clients why is chance, its log does.
@pytest.mark.parametrize(("full", "words"), [("tables", NO_ROOM), ("write-ahead log", f"{NO_ROOM}|does not answer")])
def test_postgres_on_a_full_disk_refuses_and_goes_on_when_there_is_room(full, words):
    with open_folder() as folder, small_disk(folder / "small", 64) as small:
        log_folder = (small if full == "write-ahead log" else folder) / "wal"
        with cluster(folder / "data", log_folder) as server:
            url = _database_on(server, small) if full == "tables" else server.url
            ledger = Ledger.at(url, os.environ)
            before = [number for number in range(8) if numbered.write(ledger, number, f"{number}")]
            ballast = fill(small, leaving=200_000)
            acknowledged, refused, error = write_until_refused(ledger, 8)
            assert isinstance(error, StoreUnavailableError)
            assert re.search(words, str(error))
            ballast.unlink()
            if full == "tables":
                assert {*before, *acknowledged} == numbered.held_numbers(ledger)
            else:
                server.restart()
                wait_for(ledger)
            assert_goes_on(ledger, [*before, *acknowledged], refused)
            ledger.close()


def _database_on(server, folder):
    """A database whose tables are in a folder, while the write-ahead log is with the server's other files."""
    tables = own(folder / "tables")
    admin = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE TABLESPACE small LOCATION '{tables}'"))
        connection.execute(text("CREATE DATABASE small TABLESPACE small"))
    admin.dispose()
    return make_url(server.url).set(database="small").render_as_string()


def test_a_read_only_sqlite_file_is_refused_with_a_reason_and_can_be_read(tmp_path):
    writable = Ledger.at(f"sqlite:///{tmp_path}/kept.db", os.environ)
    numbered.write(writable, 0, "before")
    ledger = Ledger.at(f"sqlite:///file:{tmp_path}/kept.db?mode=ro&uri=true", os.environ)
    with pytest.raises(StoreUnavailableError, match="read-only"):
        numbered.write(ledger, 1, "refused")
    assert numbered.held_numbers(ledger) == {0}
    ledger.close()
    numbered.write(writable, 1, "afterwards")
    assert numbered.held_numbers(writable) == {0, 1}
    writable.close()


def test_a_read_only_postgres_is_refused_with_a_reason_and_goes_on_when_it_is_not(postgres_url):
    ledger = Ledger.at(postgres_url, os.environ)
    numbered.write(ledger, 0, "before")
    _set_read_only(postgres_url, "on")
    with pytest.raises(StoreUnavailableError, match="read-only"):
        numbered.write(ledger, 1, "refused")
    assert numbered.held_numbers(ledger) == {0}
    _set_read_only(postgres_url, "off")
    numbered.write(ledger, 1, "afterwards")
    assert numbered.held_numbers(ledger) == {0, 1}
    ledger.close()


def _set_read_only(url, value):
    """Set it for new connections and end the old ones, as when a primary becomes a standby."""
    name = make_url(url).database
    admin = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name})
    admin.dispose()
