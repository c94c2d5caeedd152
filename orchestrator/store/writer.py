"""Group commit: outcomes that arrive while a transaction is being made durable share the next one.

A commit costs an fsync (milliseconds) whatever it holds, so one writer that takes all there is to write serves hundreds of
callers as fast as one. Each caller is told only when its own outcome is durable.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError

from orchestrator.errors import ConflictError, StoreUnavailableError
from orchestrator.store import tables
from orchestrator.store.audit import Found, Head, append
from orchestrator.store.database import writing
from orchestrator.store.entry import Entry, Table

MAX_BATCH = 256  # more makes a failed batch, which is retried one by one, too dear
# A transaction costs as much as ten outcomes in one. Where the writer is busy for more than half of the time, and more came while it
# wrote, it rests as long as it wrote, so that more share the next. At 100 outcomes a second it never is; who is alone never waits.
BUSY, MOST_REST_S = 0.5, 0.005
MEMORY = 0.9  # of how busy it was: about ten transactions
# Parents before children.
ORDER: tuple[Table, ...] = (
    tables.Interaction,
    tables.DataKey,
    tables.Ticket,
    tables.ComplianceRecord,
    tables.Escalation,
    tables.OutboxMessage,
    tables.IdempotencyKey,
    tables.Job,
)
# Made once: making a statement and its key in the cache of compiled ones takes as long as executing it.
INSERTS = {table: insert(table) for table in ORDER}
Waiting = tuple[Entry, Future[None]]


class Writer:
    """One thread that writes entries in batches. It starts with the first entry and stops with ``close``."""

    def __init__(self, engine: Engine, committed: Callable[[Head], None], found: Found = lambda *_: None) -> None:
        """Write to ``engine``; ``committed`` is told the new end of the chain after each commit, before anybody is answered.

        ``found`` is told the end that each batch found.
        """
        self._engine, self._committed, self._found = engine, committed, found
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, entry: Entry) -> Future[None]:
        """Queue an entry; the future is done when it is durable.

        It fails with ``ConflictError`` when its request id or idempotency key exists, with ``StoreUnavailableError`` when the database
        does not take it. A future that is cancelled before its turn is not written.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
                self._thread.start()
            self._waiting.put((entry, future))
        return future

    def close(self) -> None:
        """Write what was submitted and stop."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _run(self) -> None:
        open_, busy, rested = True, 0.0, time.perf_counter()
        while open_:
            batch = [self._waiting.get()]
            began = time.perf_counter()
            while len(batch) < MAX_BATCH and not self._waiting.empty():  # this thread alone takes from the queue
                batch.append(self._waiting.get())
            open_ = None not in batch
            taken = [pair for pair in batch if pair is not None and pair[1].set_running_or_notify_cancel()]
            if taken and (refused := self._write_batch(taken)):
                self._refuse_waiting(refused)
            ended = time.perf_counter()
            busy = MEMORY * busy + (1 - MEMORY) * (ended - began) / (ended - rested)
            rested = ended
            if busy > BUSY and open_ and not self._waiting.empty():
                time.sleep(min(ended - began, MOST_REST_S))

    def _write_batch(self, batch: Sequence[Waiting]) -> StoreUnavailableError | None:
        """Write a batch and tell those who wait for it; return the error where the database does not take it."""
        try:
            self._write([entry for entry, _ in batch])
        except StoreUnavailableError as error:
            _refuse(batch, error)
            return error
        except BaseException as error:  # noqa: BLE001  # whatever it is, those who wait must be told
            if len(batch) > 1:
                return self._write_one_by_one(batch)
            _refuse(batch, _conflict(error) if isinstance(error, IntegrityError) else error)
        else:
            for _, future in batch:
                future.set_result(None)
        return None

    def _write_one_by_one(self, batch: Sequence[Waiting]) -> StoreUnavailableError | None:
        """One of a batch is a repetition, or holds what the database refuses: find it, and write the others."""
        for place, pair in enumerate(batch, start=1):
            if refused := self._write_batch([pair]):
                _refuse(batch[place:], refused)
                return refused
        return None

    def _refuse_waiting(self, error: StoreUnavailableError) -> None:
        """Refuse those who came while the database was waited for, so that nobody waits for more than one attempt."""
        for _ in range(self._waiting.qsize()):
            pair = self._waiting.get()
            if pair is None:
                self._waiting.put(None)  # closing goes on
            elif pair[1].set_running_or_notify_cancel():
                _refuse([pair], error)

    def _write(self, entries: Sequence[Entry]) -> None:
        together: dict[Table, list[dict[str, Any]]] = defaultdict(list)
        for entry in entries:
            for table, rows in entry.rows.items():
                together[table] += rows
        with writing(self._engine) as connection:
            for table in ORDER:
                if table in together:
                    connection.execute(INSERTS[table], together[table])
            for entry in entries:
                if entry.change:
                    entry.change(connection)
            head = append(connection, [entry.event for entry in entries if entry.event], self._found)
        self._committed(head)


def _refuse(batch: Sequence[Waiting], error: BaseException) -> None:
    for _, future in batch:
        future.set_exception(error)


def _conflict(error: IntegrityError) -> ConflictError:
    return ConflictError(f"this was recorded before ({str(error.orig).splitlines()[0]})")
