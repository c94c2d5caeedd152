"""Fill the reply cache through the provider's batch API, so that the run that follows finds every reply there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from evals.batch_plan import Chunk, Plan, chunked, load_plan, save_plan, state_file
from evals.cache import LASTING, ReplyCache
from evals.errors import EvalError
from orchestrator.batch_api import MAX_BYTES, MAX_REQUESTS, Batch, BatchApi, decode, encode
from orchestrator.llm import Reply, Request
from orchestrator.retrying import TRANSIENT
from orchestrator.schema import Failure, Record

ROUNDS = 2  # how often a request is submitted whose batch expires before its turn; what is left then is asked live
ATTEMPTS = 8  # of one call, with doubling waits: an outage of about five minutes is sat out
LONGEST_WAIT_S = 60.0
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

T = TypeVar("T")
Say = Callable[[str], None]


class BatchReport(Record):
    """What came of a run's requests. ``wanted`` = ``cached`` + ``stored`` + ``left``; all count unique requests."""

    wanted: int
    cached: int  # in the cache already
    stored: int  # brought by batches, in this call
    left: int  # still without a reply: the run asks them live, at list price
    failures: dict[str, int]  # lines with a failure of their own, by its kind
    batches: tuple[str, ...]


async def run_batch(
    requests: Sequence[Request],
    cache: ReplyCache,
    api: BatchApi,
    state: Path,
    *,
    poll_s: float = 5.0,
    say: Say = print,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> BatchReport:
    """Submit what the cache lacks, wait, and store every reply under its request's key.

    The requests are of one model (the API's rule). ``state`` is the folder of the state files; a call with the same
    requests goes on where another stopped. Batches are looked at every ``poll_s`` seconds, later less often. A request
    that failed by itself, or expired twice, is left out of the cache.

    Raises ``EvalError`` when a batch is not valid or was cancelled, or when the API cannot be reached or refuses.
    """
    wanted = {request.key(): request for request in requests}
    missing = [key for key in wanted if cache.get(key) is None]
    path = state_file(state, wanted)
    plan = load_plan(path)
    if plan is None:
        sizes = {key: len(encode(wanted[key])) for key in missing}
        plan = Plan(chunks=tuple(Chunk(round=1, keys=keys) for keys in chunked(sizes, max_requests, max_bytes)))
    run = _Run(wanted, cache, api, path, plan, poll_s, say)
    try:
        await run.to_the_end()
    except asyncio.CancelledError:
        if under_way := [chunk.batch_id for chunk in run.plan.chunks if chunk.batch_id]:
            say(f"still under way: {', '.join(under_way)}; the same command picks it up, with --cancel as well it is stopped")
        raise
    left = sum(cache.get(key) is None for key in wanted)
    report = BatchReport(
        wanted=len(wanted),
        cached=len(wanted) - len(missing),
        stored=len(missing) - left,
        left=left,
        failures=dict(run.failures),
        batches=tuple(run.seen),
    )
    say(f"batch: {report.stored} replies stored, {report.cached} were there already, {left} left to ask live{_counted(run.failures)}")
    return report


async def cancel_batches(requests: Sequence[Request], api: BatchApi, state: Path, *, say: Say = print) -> int:
    """Ask the provider to stop what ``run_batch`` has under way for these requests; return how many batches that are.

    What is done by then is charged, and ``run_batch`` collects it. Raises ``EvalError`` when the API refuses.
    """
    plan = load_plan(state_file(state, (request.key() for request in requests)))
    stopped = 0
    for chunk in plan.chunks if plan else ():
        batch = await api.retrieve(chunk.batch_id) if chunk.batch_id else await api.find(chunk.file_id) if chunk.file_id else None
        if isinstance(batch, Batch) and batch.status not in ENDED:
            batch = await api.cancel(batch.id)
            stopped += 1
        if isinstance(batch, Failure):
            raise EvalError(f"{chunk.batch_id or chunk.file_id} cannot be cancelled: {batch.detail}")
        if batch is not None:
            say(f"{batch.id}: {batch.status}; the same command without --cancel collects what it has brought")
    return stopped


@dataclass
class _Run:
    """One call of ``run_batch``."""

    requests: dict[str, Request]
    cache: ReplyCache
    api: BatchApi
    path: Path
    plan: Plan
    poll_s: float
    say: Say
    failures: Counter[str] = field(default_factory=Counter)
    seen: dict[str, str] = field(default_factory=dict)  # what was last said of each batch, by its id
    unused: set[str] = field(default_factory=set)  # files that certainly no batch was started on yet

    async def to_the_end(self) -> None:
        wait_s = self.poll_s
        while self.plan.chunks:
            for index in range(len(self.plan.chunks)):
                await self._submit(index)
            batches = [await self._poll(chunk) for chunk in self.plan.chunks]
            if any(batch.status in ENDED for batch in batches):
                for chunk, batch in zip(self.plan.chunks, batches, strict=True):
                    if batch.status in ENDED:
                        await self._settle(chunk, batch)
                wait_s = self.poll_s
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(1.5 * wait_s, max(LONGEST_WAIT_S, self.poll_s))

    async def _submit(self, index: int) -> None:
        chunk = self.plan.chunks[index]
        if chunk.file_id is None:
            content = b"".join(encode(self.requests[key]) for key in chunk.keys)
            file_id = await self._insist("upload", lambda: self.api.upload(content))
            self.unused.add(file_id)
            chunk = self._note(chunk, chunk.model_copy(update={"file_id": file_id, "status": "uploaded"}))
        if chunk.batch_id is None:
            batch = await self._insist("create", lambda: self._create(chunk.file_id or ""))
            self._note(chunk, chunk.model_copy(update={"batch_id": batch.id, "status": batch.status}))

    async def _create(self, file_id: str) -> Batch | Failure:
        """Start the batch of a file, unless a process that died or a call whose reply was lost has started it."""
        if file_id not in self.unused and (found := await self.api.find(file_id)):
            return found
        self.unused.discard(file_id)
        return await self.api.create(file_id, {"run": self.path.stem})

    async def _poll(self, chunk: Chunk) -> Batch:
        batch = await self._insist("retrieve", lambda: self.api.retrieve(chunk.batch_id or ""))
        told = f"{batch.status}, {batch.done}/{batch.total} done"
        if self.seen.get(batch.id) != told:
            self.seen[batch.id] = told
            self._note(chunk, chunk.model_copy(update={"status": batch.status}))
            self.say(f"{batch.id}: {told}")
        return batch

    async def _settle(self, chunk: Chunk, batch: Batch) -> None:
        """Collect what a batch that ended has brought, then put in its place what is to be submitted again, if anything."""
        if batch.status == "failed":
            self._note(chunk, Chunk(round=chunk.round, keys=chunk.keys))  # nothing was asked or charged
            raise EvalError(f"{batch.id} is not valid: {'; '.join(batch.errors) or 'the server does not say why'}")
        settled = await self._collect(chunk, batch)
        rest = tuple(key for key in chunk.keys if key not in settled)
        again = batch.status == "expired" and rest and chunk.round < ROUNDS
        self._note(chunk, Chunk(round=chunk.round + 1, keys=rest) if again else None)
        if batch.status == "cancelled":
            raise EvalError(
                f"{batch.id} was cancelled: {len(chunk.keys) - len(rest)} answers are kept, {len(rest)} are missing; "
                "run the same command to submit them as a new batch, or without --batch to ask them live"
            )
        if rest:
            self.say(f"{batch.id} {batch.status} without {len(rest)} replies: {'submitted again' if again else 'left to ask live'}")

    async def _collect(self, chunk: Chunk, batch: Batch) -> set[str]:
        """Store the replies of a batch; return the keys that were executed, with a reply or a failure of their own."""
        expected, settled = set(chunk.keys), set()
        odd: Counter[str] = Counter()
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            file = await self._insist("download", lambda: self.api.download(file_id, self.path.with_suffix(".part")))  # noqa: B023  # awaited here
            with file.open("rb") as lines:  # bytes: only a line feed ends a line, no other separator that a reply may hold
                for raw in lines:
                    line = decode(raw, price_factor=self.api.price_factor)
                    if line is None:
                        odd["malformed"] += 1
                    elif line.custom_id not in expected:
                        odd["unknown"] += 1
                    elif line.custom_id in settled:
                        odd["duplicate"] += 1
                    elif line.answer is not None:
                        settled.add(line.custom_id)
                        self._store(line.custom_id, line.answer)
            file.unlink()
        if odd:
            self.say(f"warning: {batch.id}: lines ignored{_counted(odd)}")
        return settled

    def _store(self, key: str, answer: Reply | Failure) -> None:
        if isinstance(answer, Failure):
            self.failures[answer.kind.value] += 1
        if isinstance(answer, Reply) or answer.kind in LASTING:
            self.cache.put(key, answer)

    def _note(self, chunk: Chunk, now: Chunk | None) -> Chunk:
        """Put ``now`` in the place of ``chunk``, in the plan and on disk."""
        chunks = (now if one == chunk else one for one in self.plan.chunks)
        self.plan = Plan(chunks=tuple(one for one in chunks if one is not None))
        save_plan(self.path, self.plan)
        return now or chunk

    async def _insist(self, what: str, call: Callable[[], Awaitable[T | Failure]]) -> T:
        """Return what a call gives, called again after passing failures; raise ``EvalError`` when that does not help."""
        attempt = 0
        while True:
            answer = await call()
            if not isinstance(answer, Failure):
                return answer
            attempt += 1
            if answer.kind not in TRANSIENT or attempt == ATTEMPTS:
                raise EvalError(
                    f"batch API, {what}: {answer.detail}. What was submitted goes on, and the same command picks it up; "
                    f"to forget it and start anew, delete {self.path}"
                )
            await asyncio.sleep(min(self.poll_s * 2**attempt, LONGEST_WAIT_S))


def _counted(counts: Counter[str]) -> str:
    return ": " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) if counts else ""
