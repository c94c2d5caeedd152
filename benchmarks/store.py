"""What a durable outcome costs: ``python -m benchmarks.store [--database URL]``, on an SQLite file and, where given, on PostgreSQL.

One commit for each outcome beside the group commit, for 1, 8 and 64 callers who each wait for their own; the time a durable write takes
at 100 a second; the check of a long audit trail; and what redaction and sealing cost of it all. The database must be empty: it is filled.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from orchestrator.keys import Keys
from orchestrator.redact import redact
from orchestrator.schema import (
    Category,
    Message,
    Outcome,
)
from orchestrator.store import audit
from orchestrator.store.database import database_url, writing
from orchestrator.store.entry import new_entry
from orchestrator.store.ledger import Ledger, utc_now
from orchestrator.store.sealing import Seal
from orchestrator.store.writer import Writer
from orchestrator.testing_outcomes import make_outcome

CALLERS = (1, 8, 64)
SECONDS = 3.0  # for each rate
PACE, PACED_S = 100, 5  # a second, and for how long
BULK = 3000
CHAIN = 100_000
TEXT = "My lips are swollen since the new tablets. Order ORD-100234, reach me at 555-123-4567 or jo@example.org, born 1980-02-29."
DETAILS: dict[Category, dict[str, Any]] = {
    Category.INFORMATIONAL: {},
    Category.SERVICE_ACTION: {"ticket": {"intent": "refund", "title": "Refund ORD-100234", "slots": {"order": "ORD-100234"}}},
    Category.SAFETY_COMPLIANCE: {"compliance": {"severity": "urgent", "urgent": True, "redacted_text": redact(TEXT)}},
}


class OneByOne:
    """What the writer would be without group commit: each caller's outcome in a transaction of its own, one after the other."""

    def __init__(self, ledger: Ledger) -> None:
        """Write through ``ledger``."""
        self._ledger, self._writer, self._lock = ledger, Writer(ledger.engine, ledger._committed), threading.Lock()

    def __call__(self, outcome: Outcome) -> None:
        """Write one outcome; return when it is durable."""
        entry = new_entry(Message(text=TEXT), outcome, self._ledger.keys, self._ledger.clock())
        with self._lock:
            self._writer._write([entry])


def outcome(category: Category) -> Outcome:
    """Return an outcome of a category under an id of its own."""
    return make_outcome(str(uuid.uuid4()), category, details=DETAILS[category])


def rate(write: Callable[[Outcome], None], callers: int) -> float:
    """Return outcomes a second that so many callers get durable, the three categories in turn; each caller waits for its own."""
    until = time.perf_counter() + SECONDS

    def call(first: int) -> int:
        count = 0
        while time.perf_counter() < until:
            write(outcome(list(Category)[(first + count) % 3]))
            count += 1
        return count

    with ThreadPoolExecutor(callers) as pool:
        started = time.perf_counter()
        total = sum(pool.map(call, range(callers)))
        return total / (time.perf_counter() - started)


def bulk(ledger: Ledger) -> float:
    """Return outcomes a second when all are handed over at once: the batches are as large as they get."""
    outcomes = [outcome(list(Category)[number % 3]) for number in range(BULK)]
    started = time.perf_counter()
    for future in [ledger.submit(Message(text=TEXT), one) for one in outcomes]:
        future.result()
    return BULK / (time.perf_counter() - started)


def paced(ledger: Ledger) -> list[float]:
    """Return how many seconds each write took until it was durable, at a steady pace whatever the earlier ones do."""
    took: list[float] = []
    waiting: list[Future[None]] = []
    started = time.perf_counter()
    for number in range(PACE * PACED_S):
        due = started + number / PACE
        time.sleep(max(0.0, due - time.perf_counter()))
        future = ledger.submit(Message(text=TEXT), outcome(list(Category)[number % 3]))
        future.add_done_callback(partial(_note, took, due))
        waiting.append(future)
    for future in waiting:
        future.result()
    return took


def _note(took: list[float], due: float, _: Future[None]) -> None:
    took.append(time.perf_counter() - due)


def lengthen(ledger: Ledger) -> int:
    """Fill the audit trail up to ``CHAIN`` events like those that are there, and return how many there are."""
    _, like = next(ledger.events())
    with writing(ledger.engine) as connection:
        while (head := audit.read_head(connection)).id < CHAIN:
            head = audit.append(connection, [like] * min(5000, CHAIN - head.id))
    ledger._committed(head)
    return head.id


def measure(url: str, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what was measured, and the figure."""
    ledger = Ledger.at(url, environment)
    alone = OneByOne(ledger)
    alone(outcome(Category.SAFETY_COMPLIANCE))
    ledger.record(Message(text=TEXT), outcome(Category.SAFETY_COMPLIANCE))
    for callers in CALLERS:
        single, group = rate(alone, callers), rate(lambda one: ledger.record(Message(text=TEXT), one), callers)
        yield f"{callers} callers, one commit each", f"{single:,.0f}/s"
        yield f"{callers} callers, group commit", f"{group:,.0f}/s ({group / single:.1f} times)"
    yield f"{BULK:,} at once, group commit", f"{bulk(ledger):,.0f}/s"
    took = paced(ledger)
    yield f"durable write at {PACE}/s, p50", f"{1000 * median(took):.1f} ms"
    yield f"durable write at {PACE}/s, p99", f"{1000 * quantiles(took, n=100)[98]:.1f} ms"
    events = lengthen(ledger)
    started = time.perf_counter()
    problems = ledger.verify()
    yield f"audit trail of {events:,} events verified", f"{time.perf_counter() - started:.2f} s, {len(problems)} problems"
    ledger.close()


def per_message(keys: Keys, repeats: int = 2000) -> Iterator[tuple[str, str]]:
    """Yield what the parts that need no database cost one safety message."""
    now, safety = utc_now(), outcome(Category.SAFETY_COMPLIANCE)
    parts: dict[str, Callable[[], object]] = {
        "redaction": lambda: redact(TEXT),
        "a data key and sealing": lambda: Seal(keys)(TEXT),
        "everything before the transaction": lambda: new_entry(Message(text=TEXT), safety, keys, now),
        "signing a checkpoint": lambda: keys.signer.sign(TEXT.encode()),
    }
    for name, part in parts.items():
        started = time.perf_counter()
        for _ in range(repeats):
            part()
        yield f"safety message: {name}", f"{1e6 * (time.perf_counter() - started) / repeats:.0f} us"


@contextmanager
def private_environment() -> Iterator[dict[str, str]]:
    """Yield an environment with keys and a data directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        key_file = Path(folder) / "keys.json"
        Keys.new().write(key_file)
        yield {"KEY_FILE": str(key_file), "DATA_DIR": folder}


def main() -> None:
    """Print the table of each database."""
    parser = argparse.ArgumentParser(description="What a durable outcome costs.")
    parser.add_argument("--database", metavar="URL", help="an empty database to measure beside an SQLite file")
    given = parser.parse_args().database
    with private_environment() as environment:
        show("one core, no database", per_message(Keys.of(environment)))
        show("sqlite", measure(f"sqlite:///{environment['DATA_DIR']}/benchmark.db", environment))
    if given:
        with private_environment() as environment:
            show(database_url(given).get_backend_name(), measure(given, environment))


def show(title: str, figures: Iterator[tuple[str, str]]) -> None:
    """Print figures as they come."""
    print(f"\n{title}")
    for name, figure in figures:
        print(f"  {name:<50} {figure}", flush=True)


if __name__ == "__main__":
    main()
