"""``python jobs_driver.py DATABASE_URL POINTS SEED``: a worker of the queue is killed POINTS times; what was queued is printed as JSON.

Everything is imported and every statement compiled once, then each point is a fork of this process. Before each, more messages are queued.
The child works on the queue until ``kill -9``: half of the children kill themselves at a seeded step of theirs, half are killed from
outside after a seeded time. Each child's clock is so far ahead of the last one's that its leases have run out. The last works the rest off.
"""

import asyncio
import dataclasses
import gc
import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta

from in_process import has_jobs_left, orchestrator_on, until
from sqlalchemy import event

from orchestrator.jobs import Worker
from orchestrator.schema import Message
from orchestrator.store.job_queue import JobQueue, NewJob
from orchestrator.store.ledger import Ledger

EACH = 2  # messages queued before each point
AHEAD = timedelta(minutes=2)  # longer than a lease
# Where a child kills itself, and up to which time it comes there.
STEPS = {"before a statement": 60, "after a statement": 60, "before a commit": 8, "after a commit": 8}
DELAY_S = 0.3
ORCHESTRATOR = orchestrator_on(None)  # made once: it loads what classifies
STUCK_S = 120  # a child that neither works nor dies is a failure, not a hang


def main() -> None:
    url, points, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    warm = Ledger.at(url, os.environ)
    queued = queue_up(at(warm, -1), 2)
    asyncio.run(work(warm, until_empty=True))
    warm.close()  # its thread and its connections end; what was compiled stays
    gc.freeze()
    for point in range(points):
        queued += queue_up(at(warm, point - 1), EACH)
        fork(warm, point, chance)
    last = at(warm, points)
    asyncio.run(work(last, until_empty=True))
    last.close()
    print(json.dumps(queued))


def at(warm: Ledger, point: int) -> Ledger:
    return dataclasses.replace(warm, clock=lambda: datetime.now(UTC) + (point + 1) * AHEAD)


def queue_up(ledger: Ledger, count: int) -> list[str]:
    made = [NewJob("desk", Message(text=f"please refund order ORD-100234 ({number})")) for number in range(count)]
    JobQueue(ledger).submit(made).result()
    ledger.close()  # so that no thread is left when this process forks
    return [job.id for job in made]


async def work(ledger: Ledger, *, until_empty: bool) -> None:
    stop = asyncio.Event()
    queue = JobQueue(ledger, attempts=10_000)
    working = asyncio.create_task(Worker(dataclasses.replace(ORCHESTRATOR, ledger=ledger), queue, concurrency=4, poll_s=0.01).run(stop))
    await until(lambda: until_empty and not has_jobs_left(ledger))
    stop.set()
    await working


def fork(warm: Ledger, point: int, chance: random.Random) -> None:
    """Run a child until it is killed, at a step or from outside."""
    kind = list(STEPS)[point // 2 % len(STEPS)] if point % 2 == 0 else None
    step, delay_s = chance.randint(1, STEPS.get(kind or "", 1)), chance.uniform(0, DELAY_S)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        signal.alarm(STUCK_S)
        ledger = at(warm, point)
        if kind:
            kill_at(kind, step, ledger)
        os.write(theirs, b"begun\n")
        asyncio.run(work(ledger, until_empty=kind is not None))
        os.kill(os.getpid(), signal.SIGKILL)  # there was less to do than its step wanted
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        pipe.readline()  # it has begun, however busy the machine is
        if kind is None:
            time.sleep(delay_s)
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit(f"the child of point {point} ended by itself, with status {status}")


def kill_at(kind: str, nth: int, ledger: Ledger) -> None:
    """Let this process kill itself when it comes to its n-th step of a kind."""
    left = nth

    def step(come_to: str) -> None:
        nonlocal left
        left -= come_to == kind
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(ledger.engine, "before_cursor_execute", lambda *_: step("before a statement"))
    event.listen(ledger.engine, "after_cursor_execute", lambda *_: step("after a statement"))
    event.listen(ledger.engine, "commit", lambda *_: step("before a commit"))
    event.listen(ledger.engine, "checkin", lambda *_: step("after a commit"))


if __name__ == "__main__":
    main()
