"""Call an ASGI application: at once in this process, or on a real socket."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn


class Answer(NamedTuple):
    status: int | None  # None where nothing was sent
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict:
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)


async def call(app, *, method="POST", path="/api/v1/classify", headers=(), chunks=(b"{}",), peer=("127.0.0.1", 1), **state) -> Answer:
    """Send one request; where a chunk is an exception of the client's leaving or a coroutine function, it is that."""
    scope = {
        "type": "http", "method": method, "path": path, "client": peer, "state": state,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }  # fmt: skip
    left = list(chunks)
    sent = []

    async def receive():
        if not left:
            await asyncio.Event().wait()  # as of a server whose client stays
        chunk = left.pop(0)
        if callable(chunk):
            return await chunk()
        return {"type": "http.request", "body": chunk, "more_body": bool(left) and not callable(left[0])}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return Answer(None, {}, b"")
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


async def echo(scope, receive, send):
    """An application that answers with the body it gets."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(app, *, lifespan="off", **config):
    """Serve an application on a real socket in a thread, and yield the port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan=lifespan, **config))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "it did not start: see above"
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
