"""A chat-completions server in another process whose every answer takes the same time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from orchestrator.testing import scripted_completion


@dataclass(frozen=True)
class Server:
    """Where the server listens, and how many requests it has answered."""

    port: int
    answered: Synchronized[int]


@contextmanager
def upstream(codes: list[str], delay_s: float, known: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run the server meanwhile; each answer comes ``delay_s`` seconds after its request and finds all ``codes`` equally likely.

    A message of ``known`` is answered with its code instead, nearly certain.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    answered = context.Value("i", 0)
    process = context.Process(target=_serve, args=(theirs, answered, codes, delay_s, known), daemon=True)
    process.start()
    try:
        yield Server(ours.recv(), answered)
    finally:
        process.terminate()
        process.join()


def _reply(shares: Mapping[str, float]) -> bytes:
    body = json.dumps(scripted_completion(shares)).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _serve(
    ready: Connection, answered: Synchronized[int], codes: list[str], delay_s: float, known: Mapping[str, str] | None = None
) -> None:
    unsure = _reply(dict.fromkeys(codes, 1 / len(codes)))
    sure = {code: _reply({other: 0.98 if other == code else 0.02 / (len(codes) - 1) for other in codes}) for code in codes if known}

    def reply_to(body: bytes) -> bytes:
        turns = json.loads(body).get("messages") if known else None  # there are none where it is asked in another server's place
        return sure.get(known.get(turns[-1]["content"], ""), unsure) if known and turns else unsure

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                if delay_s:
                    await asyncio.sleep(delay_s)
                writer.write(reply_to(body))
                answered.value += 1  # this process alone writes it
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
