"""HTTP/1.1 without TLS over kept connections: an ``httpx2`` transport for a server nearby, at a quarter of the usual one's CPU.

It reads answers whole, so it is not for downloads.
A server that answers one request twice, late, can answer the next with it, as
with every HTTP/1.1 client that keeps connections: it is for servers one trusts. What goes wrong is told by the errors that ``httpx2``'s
own transport raises.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections import deque
from types import TracebackType
from typing import cast

import httptools
import httpx2

KEPT_S = 4.0  # uvicorn, and so vLLM, closes a connection that was idle for 5 s; a request sent at that moment would be lost
MOST_BYTES = 16 * 1024 * 1024  # of an answer: a completion has some thousand


class KeptConnections(httpx2.AsyncBaseTransport):
    """Connections that are kept for the next request, ``most`` at once; who comes beyond that waits."""

    def __init__(self, most: int) -> None:
        """Open nothing yet."""
        self._places = asyncio.Semaphore(most)
        self._idle: dict[tuple[str, int], deque[_Connection]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the answer, read whole. Raises ``httpx2.TransportError``."""
        timeouts = request.extensions.get("timeout", {})
        peer = request.url.host, request.url.port or 80
        async with self._places:
            connection = self._kept(peer) or await _connected(peer, timeouts.get("connect"))
            try:
                async with asyncio.timeout(timeouts.get("read")):
                    answer = await connection.ask(_written(request, await request.aread()))
            except TimeoutError as error:
                raise httpx2.ReadTimeout("no answer in time", request=request) from error
            finally:  # one that was given up in the middle is closed, or the next request would read this one's answer
                if connection.is_idle:
                    self._idle.setdefault(peer, deque()).append(connection)
                else:
                    connection.close()
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        for kept in self._idle.values():
            while kept:
                kept.pop().close()

    async def __aexit__(
        self, kind: type[BaseException] | None = None, error: BaseException | None = None, trace: TracebackType | None = None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    def _kept(self, peer: tuple[str, int]) -> _Connection | None:
        """Return the connection used last that is still good, None where there is none."""
        kept = self._idle.get(peer)
        while kept:
            connection = kept.pop()
            if connection.is_idle and time.monotonic() - connection.idle_since < KEPT_S and connection.is_quiet():
                return connection
            connection.close()
        return None


async def _connected(peer: tuple[str, int], timeout_s: float | None) -> _Connection:
    try:
        async with asyncio.timeout(timeout_s):
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, *peer)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout("no connection in time") from error
    except OSError as error:
        raise httpx2.ConnectError(str(error) or "no connection") from error
    return connection


def _written(request: httpx2.Request, body: bytes) -> bytes:
    lines = b"".join([b"%s: %s\r\n" % header for header in request.headers.raw])
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (request.method.encode(), request.url.raw_path, lines, body)


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[httpx2.Response] | None = None
        self._open = False
        self.idle_since = 0.0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._headed = self._has_length = False

    @property
    def is_idle(self) -> bool:
        """Say whether another request can be sent."""
        return self._open and self._waiting is None

    def is_quiet(self) -> bool:
        """Say whether the peer has sent nothing, not even an end, that the loop has not read yet."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def ask(self, request: bytes) -> httpx2.Response:
        """Send a request and return its answer."""
        self._begin()
        waiting: asyncio.Future[httpx2.Response] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._transport.write(request)
        return await waiting

    def close(self) -> None:
        """Close it, whatever is under way."""
        if self._open:
            self._open = False
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport, self._open = cast("asyncio.Transport", transport), True

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for ends the connection."""
        if self._waiting is None:
            self.close()
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(httpx2.RemoteProtocolError(f"no HTTP answer: {error}"))
        if self._bytes > MOST_BYTES:
            self._fail(httpx2.RemoteProtocolError(f"more than {MOST_BYTES} bytes of answer"))

    def connection_lost(self, error: Exception | None) -> None:
        """End the answer where it ends with the connection; else it is lost."""
        self._open = False
        if self._waiting is None:
            return
        if error is not None:
            self._fail(httpx2.ReadError(str(error)))
        elif self._headed and not self._has_length:
            self._answered()
        elif self._headed:
            self._fail(httpx2.RemoteProtocolError("the server closed the connection before its answer was complete"))
        else:
            self._fail(httpx2.RemoteProtocolError("the server closed the connection without an answer"))

    # --- what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.append((name, value))
        self._has_length = self._has_length or name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """Note that what comes now is body."""
        self._headed = True

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer who waits, unless this was an interim answer (RFC 9110, 15.2)."""
        if self._parser.get_status_code() < 200:
            self._forget()
        else:
            self._answered()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = 0
        self._forget()

    def _forget(self) -> None:
        self._headers, self._body = [], []
        self._headed = self._has_length = False

    def _answered(self) -> None:
        waiting, self._waiting = self._waiting, None
        if not self._parser.should_keep_alive():
            self.close()
        self.idle_since = time.monotonic()
        if waiting is None or waiting.done():
            return
        try:
            answer = httpx2.Response(self._parser.get_status_code(), headers=self._headers, content=b"".join(self._body))
        except httpx2.DecodingError as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(answer)

    def _fail(self, error: httpx2.TransportError) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
