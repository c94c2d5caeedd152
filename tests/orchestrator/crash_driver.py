"""``python crash_driver.py DATABASE_URL POINTS SEED``: a process that writes is killed POINTS times; what it was told is printed as JSON.

Everything is imported once, then each point is a fork of this process, which has a single thread. The child opens the ledger and
writes numbered messages until ``kill -9``: half of the children kill themselves at a seeded step of theirs, half are killed from outside
after a seeded time. Each starts with the first number that nobody was told is written.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from concurrent.futures import Future
from pathlib import Path

import numbered
from sqlalchemy import event

from orchestrator.errors import ConflictError
from orchestrator.store.ledger import Ledger

IN_FLIGHT = 8  # so that several outcomes share a commit
STEPS = 120  # of these, about 28 write one batch and 5 look a key up
DELAY_S = 0.04
STUCK_S = 60  # a child that neither works nor dies is a failure, not a hang


def main() -> None:
    url, points, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    Ledger.at(url, os.environ).close()  # the schema
    acknowledged: set[int] = set()
    submitted: set[int] = set()
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for point in range(points):
        first = next(number for number in range(len(acknowledged) + 1) if number not in acknowledged)
        by_itself = point % 2 == 0
        steps, delay_s = chance.randint(1, STEPS), chance.uniform(0, DELAY_S)
        said = _one_child(url, first, point, steps if by_itself else 0, 0 if by_itself else delay_s)
        for word, what in said:
            if word == "submitted":
                counts["in_doubt_and_lost"] += int(what) in submitted - acknowledged  # it had to be written again
                submitted.add(int(what))
            elif word == "found":
                counts["in_doubt_and_written"] += int(what) in submitted - acknowledged  # the answer alone was lost
                acknowledged.add(int(what))
            elif word == "written":
                acknowledged.add(int(what))
            elif word == "killed":
                kinds[what] += 1
    kinds["from outside"] = points - kinds.total()
    print(json.dumps({"acknowledged": sorted(acknowledged), "submitted": len(submitted), "kinds": kinds, **counts}))


def _one_child(url: str, first: int, point: int, steps: int, delay_s: float) -> list[tuple[str, str]]:
    """Run a child until it is killed, at its ``steps``-th step or, where that is 0, after a while; return what it said."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            _work(url, first, point, steps, theirs)
        finally:
            os._exit(1)  # it works until it is killed: coming here is a failure
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = [pipe.readline()]  # it has begun, however busy the machine is
        if not steps:
            time.sleep(delay_s)
            os.kill(pid, signal.SIGKILL)
        said += pipe.readlines()
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit(f"the child of point {point} ended by itself, with status {status}: {said[-3:]}")
    return [tuple(line.split(maxsplit=1)) for line in said]


def _work(url: str, first: int, point: int, steps: int, pipe: int) -> None:
    signal.alarm(STUCK_S)

    def say(word: str, what: object) -> None:
        os.write(pipe, f"{word} {what}\n".encode())  # one call, so nothing of it is lost or torn by the kill

    ledger = Ledger.at(url, os.environ)
    if steps:
        _kill_at(steps, ledger, say)
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


def _kill_at(steps: int, ledger: Ledger, say) -> None:
    """Let this process kill itself at its n-th step: around a statement, a commit, a release or a checkpoint's file."""
    left = steps

    def step(kind: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            say("killed", kind)
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(ledger.engine, "before_cursor_execute", lambda *_: step("before a statement"))
    event.listen(ledger.engine, "after_cursor_execute", lambda *_: step("after a statement"))
    event.listen(ledger.engine, "commit", lambda *_: step("before a commit"))
    event.listen(ledger.engine, "checkin", lambda *_: step("after a transaction, before its checkpoint"))
    folder = str(Path(ledger.checkpoints_dir).absolute())

    def at_file(name: str, arguments: tuple) -> None:
        if name in {"open", "os.rename"} and str(arguments[0]).startswith(folder):
            step(f"before the checkpoint's {name.removeprefix('os.')}")

    sys.addaudithook(at_file)


if __name__ == "__main__":
    main()
