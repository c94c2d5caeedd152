"""PostgreSQL falls silent in the midst of a transaction: it is given up, what is in doubt can be retried, and nobody is held up."""

import os
import time

import numbered
import pytest
from cuttable import cuttable
from sqlalchemy import event
from sqlalchemy.engine import make_url

from orchestrator.errors import StoreUnavailableError
from orchestrator.store import postgres
from orchestrator.store.database import writing
from orchestrator.store.ledger import Ledger


def swallow_at_the_audit_event(ledger, proxy):
    event.listen(ledger.engine, "before_cursor_execute", lambda *a: proxy.swallow() if "INSERT INTO audit_events" in a[2] else None)


def swallow_at_the_commit(ledger, proxy):
    event.listen(ledger.engine, "commit", lambda _: proxy.swallow())


def mute_at_the_commit(ledger, proxy):
    event.listen(ledger.engine, "commit", lambda _: proxy.mute())


@pytest.mark.parametrize(
    ("silence", "written"), [(swallow_at_the_audit_event, False), (swallow_at_the_commit, False), (mute_at_the_commit, True)]
)
def test_a_server_that_falls_silent_is_given_up_and_the_retry_is_done_once(postgres_url, monkeypatch, silence, written):
    monkeypatch.setattr(postgres, "ANSWER_S", 1.0)
    url = make_url(postgres_url)
    with cuttable("127.0.0.1", url.port) as proxy:
        through = url.set(port=proxy.port).render_as_string()
        ledger = Ledger.at(through, os.environ)
        numbered.write(ledger, 0, "before")
        silence(ledger, proxy)
        with pytest.raises(StoreUnavailableError, match="silent"):
            numbered.write(ledger, 1, "in doubt")
        proxy.restore()
        ledger.close()

        ledger = Ledger.at(through, os.environ)  # without the listener, which would silence it again
        outcome = numbered.write(ledger, 1, "again")
        assert outcome.request_id == ("in doubt" if written else "again")
        ledger.close()
    assert numbered.assert_holds(postgres_url, [0, 1]) == {0, 1}


def test_who_comes_while_a_lost_server_is_waited_for_is_refused_with_the_others(postgres_url, monkeypatch):
    monkeypatch.setattr(postgres, "ANSWER_S", 1.0)
    url = make_url(postgres_url)
    with cuttable("127.0.0.1", url.port) as proxy:
        ledger = Ledger.at(url.set(port=proxy.port).render_as_string(), os.environ)
        numbered.write(ledger, 0, "before")
        event.listen(ledger.engine, "commit", lambda _: proxy.swallow())
        started = time.monotonic()
        many = range(1, 2000)  # more than a batch holds
        futures = [ledger.submit(numbered.message(n), numbered.outcome(n, f"{n}"), numbered.idempotency(n)) for n in many]
        errors = [future.exception(timeout=30) for future in futures]
        assert all(isinstance(error, StoreUnavailableError) for error in errors)
        assert time.monotonic() - started < 20  # one attempt each would be 8 batches of 3 s and more
        proxy.restore()
        ledger.close()
    assert numbered.assert_holds(postgres_url, [0]) == {0}


def test_a_writer_that_vanished_holds_up_the_others_for_a_bounded_time(postgres_url, monkeypatch):
    monkeypatch.setattr(postgres, "ABANDONED_MS", 300)
    vanished, other = Ledger.at(postgres_url, os.environ), Ledger.at(postgres_url, os.environ)

    def take_the_chain_and_say_nothing_more():
        with writing(vanished.engine) as connection:
            numbered.write(other, 0, "other")
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StoreUnavailableError):
        take_the_chain_and_say_nothing_more()
    vanished.close()
    other.close()
    assert numbered.assert_holds(postgres_url, [0]) == {0}
