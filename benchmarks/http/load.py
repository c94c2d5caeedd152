"""Make load over raw sockets: bytes prepared beforehand, one event loop, a few dozen microseconds a request.

In the open loop requests come when they are due, whatever became of those before, and latency counts from when a request was due: a
server that stalls is charged for all who would have come meanwhile (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import uvloop

MOST_CONNECTIONS = 4_000
GRACE_S = 10.0  # for what is under way when the time is up
LOST = 0  # in place of a status: the connection was refused, lost, or nothing came in time


@dataclass(frozen=True)
class Answer:
    """One answer: its status, seconds from when it was due, seconds from when it was sent, and whether it says ``degraded``."""

    status: int
    latency_s: float
    sent_s: float
    degraded: bool


@dataclass(frozen=True)
class Load:
    """What a load got: all its answers, how long it lasted, and how busy the load's own process was meanwhile."""

    answers: list[Answer]
    seconds: float
    own_cpu_share: float

    def of(self, *statuses: int) -> list[Answer]:
        """Return the answers of these statuses."""
        return [answer for answer in self.answers if answer.status in statuses]

    def rate(self, *statuses: int) -> float:
        """Return answers of these statuses a second."""
        return len(self.of(*statuses)) / self.seconds


def percentiles_ms(answers: Iterable[Answer], *, less_s: float = 0.0) -> tuple[float, float]:
    """Return the 50th and the 99th percentile of the latency in milliseconds, ``less_s`` taken off; NaN where there are no answers."""
    latencies = [answer.latency_s - less_s for answer in answers]
    if not latencies:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return float(p50), float(p99)


def open_loop(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, seed: int = 1) -> Load:
    """Send ``rate`` requests a second on average, at random times (Poisson), for some seconds."""
    gaps, due, dues = random.Random(seed), 0.0, []  # noqa: S311  # arrival times, no secrets
    while (due := due + gaps.expovariate(rate)) < seconds:
        dues.append(due)
    return _measured(_open(port, dues, itertools.cycle(requests)))


def closed_loop(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Let so many clients each send the next request when they have their answer, for some seconds."""
    return _measured(_closed(port, itertools.cycle(requests), connections, seconds))


def _measured(running: Coroutine[None, None, tuple[list[Answer], float]]) -> Load:
    wall, cpu = time.perf_counter(), time.process_time()
    answers, seconds = uvloop.run(running)
    return Load(answers, seconds, (time.process_time() - cpu) / (time.perf_counter() - wall))


async def _open(port: int, dues: Sequence[float], requests: Iterator[bytes]) -> tuple[list[Answer], float]:
    idle: deque[_Connection] = deque()
    answers: list[Answer] = []
    under_way: set[asyncio.Task[None]] = set()
    began = time.perf_counter()

    async def one(due: float, request: bytes) -> None:
        answers.append(await _asked(port, _kept(idle), request, due, idle))

    for due in dues:
        if (ahead := began + due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        request = next(requests)
        if len(under_way) >= MOST_CONNECTIONS:  # the server does not keep up, and neither sheds
            answers.append(Answer(LOST, GRACE_S, GRACE_S, degraded=False))
            continue
        task = asyncio.create_task(one(began + due, request))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way, timeout=GRACE_S)
    seconds = time.perf_counter() - began  # until the last answer: what came late is not counted as if it had come in time
    answers += [Answer(LOST, GRACE_S, GRACE_S, degraded=False) for _ in under_way]
    return answers, seconds


async def _closed(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> tuple[list[Answer], float]:
    answers: list[Answer] = []
    began = time.perf_counter()

    async def client() -> None:
        idle: deque[_Connection] = deque()
        while (now := time.perf_counter()) - began < seconds:
            answers.append(await _asked(port, _kept(idle), next(requests), now, idle))

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers, time.perf_counter() - began


def _kept(idle: deque[_Connection]) -> _Connection | None:
    """Return a kept connection that the server has not closed meanwhile, as it does with those that were idle for long."""
    while idle:
        if (connection := idle.pop()).usable:
            return connection
    return None


async def _asked(port: int, connection: _Connection | None, request: bytes, due: float, idle: deque[_Connection]) -> Answer:
    sent = time.perf_counter()
    try:
        if connection is None:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
        status, body = await connection.ask(request)
    except (OSError, EOFError):
        status, body = LOST, b""
    now = time.perf_counter()
    if connection is not None and connection.usable:
        idle.append(connection)
    return Answer(status, now - due, now - sent, degraded=b'"degraded":true' in body)


class _Connection(asyncio.Protocol):
    """A kept connection: one request at a time, answers with a Content-Length."""

    def __init__(self) -> None:
        self.usable = False
        self._read = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.usable = cast("asyncio.Transport", transport), True

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, parted, body = self._read.partition(b"\r\n\r\n")
        if not parted:
            return
        head = head.lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length or self._waiting is None:
            return
        self._read = b""
        if b"connection: close" in head:
            self.usable = False
            self._transport.close()
        if not self._waiting.done():
            self._waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, _: Exception | None) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(EOFError("the connection was lost"))
