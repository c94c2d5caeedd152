"""LLMs for tests, shipped with the package: scripted answers and faults, behind the same seam or a real socket.

``misbehaving_upstream`` is the server for everything that goes wrong on a network; it is ``orchestrator.testing_upstream``.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.llm import Reply, Request
from orchestrator.schema import Failure, FailureKind
from orchestrator.testing_completion import Answerer, scripted_completion, scripted_reply
from orchestrator.testing_toxics import Toxic
from orchestrator.testing_upstream import Upstream, misbehaving_upstream

__all__ = [
    "Answerer",
    "FaultyLLM",
    "ScriptedLLM",
    "Toxic",
    "Upstream",
    "misbehaving_upstream",
    "scripted_completion",
    "scripted_reply",
    "scripted_server",
]


class ScriptedLLM:
    """Answers with the label-token distribution that ``script`` gives for the last user turn.

    ``script`` maps the text to ``{code: probability}``. The log-probabilities have the form a real server's have.
    ``calls`` counts the requests and ``peak`` the most that were under way at once.
    """

    def __init__(self, script: Callable[[str], Mapping[str, float]], *, delay_s: float = 0.0) -> None:
        """Answer by ``script``, each answer after ``delay_s`` seconds."""
        self._script = script
        self._delay_s = delay_s
        self.calls = 0
        self.peak = 0
        self._under_way = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        self.calls += 1
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        await asyncio.sleep(self._delay_s)
        self._under_way -= 1
        return scripted_reply(self._script(request.turns[-1].content))


class FaultyLLM:
    """Fails every time, in one way."""

    def __init__(self, kind: FailureKind) -> None:
        """Fail with ``kind``."""
        self.kind = kind
        self.calls = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:  # noqa: ARG002  # the seam's signature
        """Fail."""
        self.calls += 1
        return Failure(kind=self.kind, detail="scripted")


@contextmanager
def scripted_server(answer: Answerer, *, status: Callable[[], int] = lambda: 200) -> Iterator[str]:
    """Serve the OpenAI chat-completions protocol on a loopback port and yield its base URL.

    ``answer`` maps the chat turns to ``{code: probability}``; ``status`` gives the HTTP status of each reply.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every reply on a kept connection waits 40 ms for an acknowledgement

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = status()
            payload = json.dumps(
                scripted_completion(answer(body["messages"])) if code == 200 else {"error": {"message": "scripted"}}
            ).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Stay silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual five, the sixth of a burst of connections may wait until its client gives up
