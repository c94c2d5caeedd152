"""An LLM's server for tests that misbehaves in the ways servers and networks do, on a real loopback socket.

It speaks ``POST /v1/chat/completions``. It runs on an event loop in a thread of its own and stands hundreds of connections that hang.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from orchestrator.testing_completion import Answerer, obedient_completion
from orchestrator.testing_toxics import CANNED, Toxic, as_json, reply_of

BACKLOG = 512  # a burst of connections is not kept waiting
PAUSE_S = 0.02  # between two bytes of a drip
PIECE = 40  # bytes of a slice


Script = Callable[[int], Toxic]


class Upstream:
    """The server. Set ``toxic`` at any time: a toxic, or what gives one for the number of a request, from 0.

    ``latency_s`` passes before anything else, ``retry_after_s`` is what a 429 asks for, ``answer`` maps the chat turns to
    ``{code: probability}``. ``calls`` counts the requests, ``under_way`` those it has not done with, and ``peak`` the most of them at once;
    ``key`` is the API key that the last one brought.
    """

    def __init__(
        self, toxic: Toxic | Script, *, latency_s: float = 0.0, retry_after_s: float = 1.0, answer: Answerer | None = None
    ) -> None:
        """Behave so; ``start`` makes it listen."""
        self.toxic = toxic
        self.latency_s = latency_s
        self.retry_after_s = retry_after_s
        self.answer = answer
        self.calls = self.under_way = self.peak = 0
        self.key = ""
        self._changed = threading.Condition()
        self._port: int = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="upstream", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """What ``LLM_BASE_URL`` is set to."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self.wait_for(lambda one: one._port > 0)

    def stop(self) -> None:
        """Stop, and let go of every connection that hangs. It may be stopped before its block ends, as a server that dies is."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def wait_for(self, true: Callable[[Upstream], bool], *, within_s: float = 30.0) -> None:
        """Return once something is true of this server. Raises ``TimeoutError`` when it is not within ``within_s`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: true(self), within_s):
                raise TimeoutError(f"after {within_s:g} s: {self.calls} calls, {self.under_way} under way")

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=BACKLOG)
        with self._noted():
            self._port = server.sockets[0].getsockname()[1]
        await self._stopping.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # it runs in one
        self._connections.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                while await self._request(reader, writer):
                    pass
                writer.close()  # after what is left to send
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take in one request and do with it; return whether another may follow on the connection."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        with self._noted():
            self.key = headers.get("authorization", "").removeprefix("Bearer ")
            toxic = self.toxic if isinstance(self.toxic, Toxic) else self.toxic(self.calls)
            self.calls += 1
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            return await self._misbehave(toxic, body, reader, writer)
        finally:
            with self._noted():
                self.under_way -= 1

    async def _misbehave(self, toxic: Toxic, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        status, payload = self._reply(toxic, body)
        wait = f"Retry-After: {self.retry_after_s:g}\r\n" if toxic is Toxic.RATE_LIMITED else ""
        whole = _head(status, wait, len(payload)) + payload
        match toxic:
            case Toxic.HANG:
                await reader.read(1)  # until the client has had enough
            case Toxic.DRIP:
                writer.write(_head(200, "", 1_000_000))
                while not writer.transport.is_closing():
                    writer.write(b" ")  # JSON may begin with as many as it likes
                    await asyncio.sleep(PAUSE_S)
            case Toxic.RESET:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case Toxic.HALF_BODY:
                writer.write(whole[: -len(payload) // 2])
            case Toxic.SLOW_CLOSE:
                writer.write(_head(200, "Connection: close\r\n", None) + payload)
                await reader.read(1)
            case Toxic.SLICER:
                for start in range(0, len(whole), PIECE):
                    writer.write(whole[start : start + PIECE])
                    await asyncio.sleep(0.001)
                return True
            case _:
                writer.write(whole)
                await writer.drain()
                return True
        return False

    def _reply(self, toxic: Toxic, body: dict[str, Any]) -> tuple[int, bytes]:
        if toxic is Toxic.NO_LOGPROBS:
            body["logprobs"] = False
        if self.answer and toxic not in CANNED:
            return 200, as_json(obedient_completion(body, self.answer(body["messages"])))
        return reply_of(toxic, body)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()


@contextmanager
def misbehaving_upstream(
    toxic: Toxic | Script = Toxic.OK, *, latency_s: float = 0.0, retry_after_s: float = 1.0, answer: Answerer | None = None
) -> Iterator[Upstream]:
    """Run the server meanwhile."""
    upstream = Upstream(toxic, latency_s=latency_s, retry_after_s=retry_after_s, answer=answer)
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.stop()


def _head(status: int, headers: str, length: int | None) -> bytes:
    sized = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n{headers}{sized}\r\n".encode()
