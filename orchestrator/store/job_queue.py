"""The queue of jobs: one door to them, over the ledger's database, its keys and its group commit."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection

from orchestrator.errors import ConflictError, KeysError, QueueFullError
from orchestrator.incoming import digest_of
from orchestrator.keys import Keys, unsealed
from orchestrator.safety import red_flags
from orchestrator.schema import Message
from orchestrator.store import jobs, tables
from orchestrator.store.database import reading
from orchestrator.store.entry import CUSTOMER_ID, Entry, Idempotency
from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import AT_ONCE
from orchestrator.store.sealing import Seal

T = TypeVar("T")
LIMIT = 100_000
ATTEMPTS = 10  # a message that kills every worker is given up some time
LOOK_S = 1.0  # how long a count of the queue is good for; what came by this process since is added
KEYS_AT_ONCE = 500  # below SQLite's limit of bound parameters
OURS = "(jobs)"  # the client of the idempotency keys that a job without one of its client's gets; parentheses are in no client's id


@dataclass(frozen=True)
class NewJob:
    """A message to queue. Of two with the same client and key only one can be queued."""

    client: str
    message: Message
    callback_url: str | None = None
    key: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def body_hash(self) -> str:
        """The hash of all that the client asked for."""
        return hashlib.sha256(f"{digest_of(self.message)} {self.callback_url or ''}".encode()).hexdigest()


class JobQueue:
    """The jobs of a ledger's database. Writes are futures, done when they are durable; they fail as those of ``Ledger.submit`` do."""

    def __init__(
        self, ledger: Ledger, *, limit: int = LIMIT, attempts: int = ATTEMPTS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Let about ``limit`` jobs wait, and give each up after ``attempts`` workers died of it or failed."""
        self.ledger = ledger
        self.attempts = attempts
        self._limit, self._monotonic = limit, monotonic
        self._counted, self._counted_at = 0, -LOOK_S

    # --- what clients ask

    def submit(self, wanted: Sequence[NewJob]) -> Future[None]:
        """Queue messages, all or none, those with a red flag before others.

        Raises ``QueueFullError`` when there is no room for them, ``StoreUnavailableError`` when the database cannot be asked. The future
        fails with ``ConflictError`` when one of the keys is in use: see ``queued_before``.
        """
        self._make_room(len(wanted))
        rows: dict[type[tables.Base], list[dict[str, Any]]] = {tables.DataKey: [], tables.Job: []}
        now = self.ledger.clock()
        for place, job in enumerate(wanted):
            seal = Seal(self.ledger.keys)
            rows[tables.DataKey].append({"request_id": jobs.key_id(job.id), "wrapped_key": seal.wrapped})
            customer = job.message.metadata.get(CUSTOMER_ID)
            rows[tables.Job].append(
                {
                    "id": job.id,
                    "created_at": now + timedelta(microseconds=place),  # a batch keeps its order
                    "status": jobs.Status.QUEUED.value,
                    "rank": jobs.RED_FLAG if red_flags(job.message.text) else jobs.RED_FLAG + 1,
                    "client": job.client,
                    "key": job.key,
                    "body_hash": job.body_hash,
                    "customer": None if customer is None else self.ledger.keys.pseudonym_of(str(customer)),
                    "sealed_message": seal(json.dumps(job.message.model_dump())),
                    "callback_url": job.callback_url,
                    "attempts": 0,
                    "run_after": AT_ONCE,
                }
            )
        self._counted += len(wanted)
        return self.ledger.put(Entry({}, rows))

    def queued_before(self, wanted: Sequence[NewJob], more: Sequence[str] = ()) -> list[str] | None:
        """Return the ids of the jobs that were queued under these keys before, in this order; None where there are none.

        Raises ``ConflictError`` where only some were, one of them for something else, or one under a key of ``more``.
        """
        keys = [job.key for job in wanted if job.key is not None]
        found: dict[str, jobs.Known] = {}
        with reading(self.ledger.engine) as connection:
            for at in range(0, len(keys) + len(more), KEYS_AT_ONCE):
                found |= jobs.find_keys(connection, wanted[0].client, [*keys, *more][at : at + KEYS_AT_ONCE])
        if not found:
            return None
        if len(found) != len(wanted) or any(found.get(job.key or "", jobs.UNKNOWN).body_hash != job.body_hash for job in wanted):
            raise ConflictError("the idempotency key was used for another request: take a new key")
        return [found[key].id for key in keys]

    def read(self, job_id: str) -> jobs.View | None:
        """Return a job; None where there is none (any more)."""
        with reading(self.ledger.engine) as connection:
            return jobs.read(connection, job_id)

    def depth(self) -> jobs.Depth:
        """Return how many jobs wait, and for how long the oldest has."""
        with reading(self.ledger.engine) as connection:
            return jobs.depth(connection, self.ledger.clock())

    # --- what workers do

    def any_due(self) -> bool:
        """Say whether there is a job to take: asked without the lock that taking it needs."""
        with reading(self.ledger.engine) as connection:
            return jobs.any_due(connection, self.ledger.clock())

    def take(self, *, limit: int, lease_s: float) -> Future[list[jobs.Taken]]:
        """Take up to ``limit`` jobs, for this worker alone for ``lease_s`` seconds."""
        return self._change(
            lambda connection: jobs.take(connection, self.ledger.clock(), limit=limit, lease_s=lease_s, attempts=self.attempts)
        )

    def message_of(self, job: jobs.Taken) -> Message:
        """Return the message of a job that was taken. Raises ``KeysError`` when no key opens it."""
        return open_message(self.ledger.keys, job.id, job.sealed_message, job.wrapped_key)

    def finish(self, job: jobs.Taken, *, result: dict[str, Any] | None = None, error: jobs.Error | None = None) -> Future[None]:
        """Write down how a job ended: with a result, or with an error."""
        return self._change(lambda connection: jobs.finish(connection, job.id, self.ledger.clock(), result=result, error=error))

    def retry(self, job: jobs.Taken, *, in_s: float) -> Future[None]:
        """Put a job back, to be taken again in ``in_s`` seconds or later."""
        return self._change(lambda connection: jobs.retry(connection, job, self.ledger.clock() + timedelta(seconds=in_s)))

    def _change(self, change: Callable[[Connection], T]) -> Future[T]:
        """Make a change in the next group commit; the future has what it returned."""
        returned: list[T] = []

        def make(connection: Connection) -> None:
            returned[:] = [change(connection)]  # a transaction that is made again forgets the first

        done: Future[T] = Future()

        def tell(written: Future[None]) -> None:
            if not done.set_running_or_notify_cancel():
                return  # nobody waits for it any more
            if error := written.exception():
                done.set_exception(error)
            else:
                done.set_result(returned[0])

        self.ledger.put(Entry({}, change=make)).add_done_callback(tell)
        return done

    def _make_room(self, wanted: int) -> None:
        """Raise ``QueueFullError`` where no more may wait. It is counted once a second: several processes may together go beyond."""
        now = self._monotonic()
        if now >= self._counted_at + LOOK_S:
            self._counted, self._counted_at = self.depth().waiting, now
        if self._counted + wanted > self._limit:
            raise QueueFullError(f"{self._counted} messages wait, and at most {self._limit} may: nothing was accepted, try again later")


def open_message(keys: Keys, job_id: str, sealed: str | None, wrapped_key: str | None) -> Message:
    """Return the message of a job. Raises ``KeysError`` when no key opens it."""
    if sealed is None or wrapped_key is None:
        raise KeysError(f"job {job_id} has lost its message or the key of it")
    return Message.model_validate(json.loads(unsealed(keys.unwrap(wrapped_key), sealed)))


def idempotency_of(job: jobs.Taken, message: Message) -> Idempotency:
    """Return under which key the ledger knows a job's outcome: its client's, so that the same message asked at once is done once too."""
    client, key = (OURS, job.id) if job.key is None else (job.client, job.key)
    return Idempotency(client=client, key=key, body_hash=digest_of(message))
