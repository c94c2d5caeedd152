"""The verb for a file of messages."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands.opening import url_of
from orchestrator.commands.printing import print_json, tell, visible
from orchestrator.commands.verbs import Verbs, at_least_one
from orchestrator.errors import ConflictError, OrchestratorError, StoreUnavailableError

if TYPE_CHECKING:
    from orchestrator.batch import Batch
    from orchestrator.batch_items import BadRow, Survey
    from orchestrator.progress import Progress
    from orchestrator.table_writing import Write

GO_ON = "run the same command to go on: what is recorded is not done twice"
MORE = (
    "The file is CSV, JSON Lines or Parquet by its suffix, and so is the output. Each message is handled as one of `classify`: "
    "tickets and escalations come of it. A run that was cut off goes on where it stopped when it is started again, for as long as "
    "idempotency keys are kept (7 days by default). Exit 1 when rows were left out."
)


def add_verbs(verbs: Verbs) -> None:
    """Add ``batch``."""
    batch = verbs.add(
        "batch",
        do_batch,
        "classify the messages of a file and run their workflows; resumes where it stopped",
        examples=(
            "batch messages.csv --output answers.jsonl",
            "batch mails.parquet --output answers.parquet --text body --id ticket --channel mail --concurrency 8",
        ),
        more=MORE,
    )
    batch.add_argument("file", metavar="FILE", type=Path, help="the messages: .csv, .jsonl or .parquet")
    batch.add_argument("--output", required=True, metavar="OUT", type=Path, help="the answers: .csv, .jsonl or .parquet")
    batch.add_argument("--text", default="message", metavar="COL", help="the column of the message (default: %(default)s)")
    batch.add_argument("--id", metavar="COL", help="the column of your own id (default: id where there is one, else the row's number)")
    batch.add_argument("--channel", metavar="COL", help="the column of the channel, or one channel for all (default: channel, else chat)")
    batch.add_argument("--customer-id", metavar="COL", help="the column of the customer (default: customer_id where there is one)")
    batch.add_argument("--concurrency", type=at_least_one, default=4, metavar="N", help="messages under way at once (default: %(default)s)")
    batch.add_argument("--strict", action="store_true", help="do nothing when a row cannot be read")


def do_batch(options: argparse.Namespace) -> int:
    """Handle every message of a file and write what came of each."""
    from orchestrator.batch_items import Columns, survey
    from orchestrator.table_writing import check_writable

    check_writable(options.output)
    if options.output.resolve() == options.file.resolve():
        raise OrchestratorError(f"--output {options.output} is the file that is read: name another")
    found = survey(options.file, Columns(options.text, options.id, options.channel, options.customer_id))
    for bad in found.bad:
        tell(_told(options.file, bad))
    if found.bad and (options.strict or not found.items):
        raise OrchestratorError(f"{options.file}: {len(found.bad)} row(s) cannot be handled; nothing was done")
    try:
        tally = asyncio.run(_run(options, found))
    except _StoppedError as stopped:
        raise KeyboardInterrupt(str(stopped)) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GO_ON) from None
    left_out = found.items + len(found.bad) - tally["done"]
    if tally["degraded"]:
        tell(f"{tally['degraded']} answer(s) are degraded: the LLM did not answer, the local classifier did (`doctor` says more)")
    if options.json:
        print_json({"file": options.file, "output": options.output, "left_out": left_out} | tally)
    else:
        print(
            f"{tally['done']} messages in {options.output} ({tally['before']} were recorded before); "
            f"{tally['review_required']} go to a person; {left_out} row(s) left out"
        )
    return 1 if left_out else 0


async def _run(options: argparse.Namespace, found: Survey) -> Counter[str]:
    from orchestrator.batch import RESULT, Batch
    from orchestrator.batch_items import batch_client
    from orchestrator.connect import open_orchestrator
    from orchestrator.progress import progress
    from orchestrator.release import load_release
    from orchestrator.resilience import PATIENT
    from orchestrator.table_writing import writing_table

    database, at_once = url_of(options), options.concurrency
    opened = open_orchestrator(load_release(), options.environment, database_url=database, resilience=PATIENT, connections=at_once)
    client = batch_client(options.file)
    with writing_table(options.output, RESULT) as write:
        async with opened as orchestrator:
            batch = Batch(orchestrator.handle, client, options.concurrency)
            with progress("batch", found.items) as shown, _stopped_by_signals(batch.stop):
                batch.waiting = lambda error, wait_s: shown.note(f"waiting {wait_s:g} s for the store: {error}")
                return await _feed(batch, options.file, found, write, shown)


async def _feed(batch: Batch, file: Path, found: Survey, write: Write, shown: Progress) -> Counter[str]:
    """Write what becomes of every message and count it; raise when the batch ends before its end, so that no half output is left."""
    from orchestrator.batch_items import BadRow, read_items

    tally: Counter[str] = Counter({"done": 0, "before": 0, "degraded": 0, "review_required": 0})
    good = (item for item in read_items(file, found.columns) if not isinstance(item, BadRow))
    try:
        async for one in batch.run(good):
            write(one.result())
            classification = one.outcome.classification
            review = classification.decision.review_required
            tally.update(done=1, before=int(one.before), degraded=int(classification.degraded), review_required=int(review))
            shown.advance(before=one.before)
    except ConflictError as error:
        raise ConflictError(f"{file}: {error}") from None
    except StoreUnavailableError as error:
        raise StoreUnavailableError(f"{error}. {tally['done']} of {found.items} messages are recorded; {GO_ON}") from error
    if batch.stopped:
        raise _StoppedError(f"{tally['done']} of {found.items} messages are recorded; {GO_ON}")
    return tally


class _StoppedError(Exception):
    """The batch was stopped before its end."""


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the batch when what is under way is finished; the second ends it at once."""
    loop = asyncio.get_running_loop()
    both = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        tell("\nstopping: what is under way is finished first (again to stop at once)")
        stop.set()
        for name in both:
            loop.remove_signal_handler(name)

    for name in both:
        loop.add_signal_handler(name, ask)
    try:
        yield
    finally:
        for name in both:
            loop.remove_signal_handler(name)


def _told(file: Path, bad: BadRow) -> str:
    return f"{file}: {bad.place}: {visible(bad.problem)}"
