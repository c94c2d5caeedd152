"""A TCP proxy on a real socket that can be cut, swallow what is sent, and be restored."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOTHING, ANSWERS, EVERYTHING = range(3)


class Cuttable:
    """The proxy. Its methods may be called from any thread and return when it is done."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._swallowing = NOTHING
        self.port = 0
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self._listen())

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._do(self._cut())

    def swallow(self) -> None:
        """Take what comes on every connection, old or new, and never say anything again on it, not even after ``restore``."""
        self._swallowing = EVERYTHING

    def mute(self) -> None:
        """Pass on what the client says, and swallow what it is answered."""
        self._swallowing = ANSWERS

    def restore(self) -> None:
        """Let new connections through again."""
        self._swallowing = NOTHING
        if self._server is None:
            self._do(self._listen())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        while self._open:  # noqa: ASYNC110  # those who pass on take their connection out themselves; a test's proxy may look for it
            await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._swallowing:
                await self._drain(reader)
                return
            their_reader, their_writer = await asyncio.open_connection(*self._target)
            self._open.add(their_writer)
            try:
                await asyncio.gather(self._pass_on(reader, their_writer, EVERYTHING), self._pass_on(their_reader, writer, ANSWERS))
            finally:
                self._open.discard(their_writer)
                their_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallowed_from: int) -> None:
        lost = False
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                lost = lost or self._swallowing >= swallowed_from
                if not lost:
                    writer.write(data)
        writer.transport.abort()

    async def _drain(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass


@contextmanager
def cuttable(host: str, port: int) -> Iterator[Cuttable]:
    proxy = Cuttable(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
