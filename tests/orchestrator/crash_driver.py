"""``python crash_driver.py DATABASE_URL POINTS SEED``: a process that writes is killed POINTS times; what it was told is printed as JSON.

Everything is imported and every statement compiled once, then each point is a fork of this process, which has a single thread and no
connection. The child opens the ledger and writes numbered messages until ``kill -9``: half of the children kill themselves at a seeded
step of theirs, half are killed from outside after a seeded time. Each starts with the first number that nobody was told is written.
"""

import gc
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from concurrent.futures import Future

import numbered
from sqlalchemy import event

from orchestrator.errors import ConflictError
from orchestrator.store.ledger import Ledger

FROM_OUTSIDE = "from outside"
IN_FLIGHT = 8  # so that several outcomes share a commit
# Where a child kills itself, and up to which time it comes there: one to three batches, each with the look-ups of its keys.
STEPS = {
    "before a statement": 40,
    "after a statement": 40,
    "before a commit": 3,
    "after a transaction, before its checkpoint": 12,
    "before a checkpoint's file is opened": 6,
    "before a checkpoint's file is renamed": 3,
}
DELAY_S = 0.03
STUCK_S = 60  # a child that neither works nor dies is a failure, not a hang


def main() -> None:
    url, points, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    warm = Ledger.at(url, os.environ)
    numbered.write(warm, 0, "0-warm")
    numbered.write(warm, 1, "1-warm")
    warm.close()  # its thread and its connections end; what was compiled stays
    gc.freeze()  # or every child would copy what its collector touches
    acknowledged = {0, 1}
    submitted = {0, 1}
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for point in range(points):
        first = next(number for number in itertools.count() if number not in acknowledged)
        kind = list(STEPS)[point // 2 % len(STEPS)] if point % 2 == 0 else FROM_OUTSIDE
        kinds[kind] += 1
        said = _one_child(warm, first, point, kind, chance)
        for word, what in said:
            if word == "submitted":
                counts["in_doubt_and_lost"] += int(what) in submitted - acknowledged  # it had to be written again
                submitted.add(int(what))
            elif word == "found":
                counts["in_doubt_and_written"] += int(what) in submitted - acknowledged  # the answer alone was lost
                acknowledged.add(int(what))
            elif word == "written":
                acknowledged.add(int(what))
    print(json.dumps({"acknowledged": sorted(acknowledged), "submitted": len(submitted), "kinds": kinds, **counts}))


def _one_child(warm: Ledger, first: int, point: int, kind: str, chance: random.Random) -> list[tuple[str, str]]:
    """Run a child until it is killed, at a step of a kind or from outside; return what it said."""
    step, delay_s = chance.randint(1, STEPS.get(kind, 1)), chance.uniform(0, DELAY_S)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            _work(warm, first, point, kind, step, theirs)
        finally:
            os._exit(1)  # it works until it is killed: coming here is a failure
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = [pipe.readline()]  # it has begun, however busy the machine is
        if kind == FROM_OUTSIDE:
            time.sleep(delay_s)
            os.kill(pid, signal.SIGKILL)
        said += pipe.readlines()
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit(f"the child of point {point} ended by itself, with status {status}: {said[-3:]}")
    return [tuple(line.strip().split(maxsplit=1)) for line in said]


def _work(warm: Ledger, first: int, point: int, kind: str, step: int, pipe: int) -> None:
    signal.alarm(STUCK_S)

    def say(word: str, what: object) -> None:
        os.write(pipe, f"{word} {what}\n".encode())  # one call, so nothing of it is lost or torn by the kill

    ledger = Ledger(warm.engine, os.environ)
    if kind != FROM_OUTSIDE:
        _kill_at(kind, step, ledger)
    say("begun", first)
    waiting: deque[tuple[int, Future[None]]] = deque()
    number = first
    while True:
        if len(waiting) < IN_FLIGHT:
            if ledger.recorded(numbered.idempotency(number)):
                say("found", number)
            else:
                say("submitted", number)
                outcome = numbered.outcome(number, f"{number}-{point}")
                future = ledger.submit(numbered.message(number), outcome, numbered.idempotency(number))
                future.add_done_callback(lambda done, mine=number: None if done.exception() else say("written", mine))
                waiting.append((number, future))
            number += 1
        else:
            oldest, future = waiting.popleft()
            try:
                future.result()
            except ConflictError:  # a server ended the transaction of a client that was killed, after we had looked the key up
                assert ledger.recorded(numbered.idempotency(oldest))
                say("found", oldest)


def _kill_at(kind: str, nth: int, ledger: Ledger) -> None:
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
    event.listen(ledger.engine, "checkin", lambda *_: step("after a transaction, before its checkpoint"))
    folder = str(ledger.checkpoints_dir)
    files = {"open": "before a checkpoint's file is opened", "os.rename": "before a checkpoint's file is renamed"}
    sys.addaudithook(lambda name, on: step(files[name]) if name in files and str(on[0]).startswith(folder) else None)


if __name__ == "__main__":
    main()
