"""A receiver of webhooks for tests, on a real loopback socket: it keeps what it was told once, and fails in the ways receivers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from orchestrator.webhooks import KNOWN, verify_signature


class Fault(StrEnum):
    """What goes wrong. But for ``hang`` and ``drip_head`` the message has had its effect by then."""

    HANG = "hang"  # reads the message and says nothing
    DRIP_HEAD = "drip_head"  # a header that never ends, a byte at a time
    DRIP_BODY = "drip_body"  # answers, then a body that never ends, a byte at a time
    FLOOD = "flood"  # answers, then a body that never ends, as fast as it goes
    CUT_BODY = "cut_body"  # answers, and closes the connection before the end of the body
    CUT = "cut"  # closes the connection instead of answering
    TWICE = "twice"  # answers twice, as if to a message that was not sent
    GARBAGE = "garbage"  # answers in no known protocol


@dataclass(frozen=True)
class Said:
    """One scripted answer, given once ``when`` is set."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: Fault | None = None
    when: threading.Event | None = None


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    headers: Message
    body: bytes

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(self.headers["Idempotency-Key"])

    @property
    def told(self) -> dict[str, Any]:
        """What the body says."""
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """Receives webhooks; use as a context manager.

    ``script`` gives the answer to each request, by what was received and its number from 0. A message with an answer below 300 has its
    effect, once however often it comes: ``effects`` holds the keys. A repetition of it is answered with ``again`` (None: by the script).
    With ``secret`` a request whose signature does not hold at ``clock`` is answered with 401. ``peak`` is the most that were under way at
    once.
    """

    script: Callable[[Received, int], Said] = lambda _received, _number: Said()
    again: Said | None = Said(status=KNOWN)
    secret: str | None = None
    clock: Callable[[], datetime] | None = None
    requests: list[Received] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    peak: int = 0
    _under_way: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens, once it is started."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        """Start."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop, and let go of every connection that hangs."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, true: Callable[[Receiver], bool], *, within_s: float = 30.0) -> None:
        """Return once something is true of this receiver. Raises ``TimeoutError`` when it is not within ``within_s`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: true(self), within_s):
                raise TimeoutError(f"after {within_s:g} s: {len(self.requests)} requests, {len(self.effects)} effects")

    def take(self, received: Received) -> Said:
        """Take in one request and return what to answer."""
        with self._changed:
            number = len(self.requests)
            self.requests.append(received)
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
            said = self._answer(received, number)
            self._changed.notify_all()
        return said

    def end(self) -> None:
        """Count a request as no longer under way."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def pause(self) -> bool:
        """Wait between two bytes; return whether to go on."""
        return not self._closing.wait(0.01)

    def hang(self) -> None:
        """Wait for the end."""
        self._closing.wait()

    def _answer(self, received: Received, number: int) -> Said:
        if self.secret is not None and not self._is_genuine(received):
            return Said(status=401)
        if received.key in self.effects and self.again is not None:
            return self.again
        said = self.script(received, number)
        heard = said.status < 300 and said.fault not in {Fault.HANG, Fault.DRIP_HEAD}
        if heard and received.key not in self.effects:
            self.effects.append(received.key)
        return said

    def _is_genuine(self, received: Received) -> bool:
        if self.secret is None or self.clock is None:
            raise ValueError("a receiver that verifies signatures needs a secret and a clock")
        timestamp, signature = (received.headers.get(name, "") for name in ("X-Timestamp", "X-Signature"))
        return verify_signature(self.secret, timestamp, received.body, signature, self.clock())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a burst of connections is not kept waiting


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else an answer in two writes waits 40 ms for an acknowledgement

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = receiver.take(Received(headers=self.headers, body=body))
            try:
                if said.when:
                    said.when.wait()
                self._say(said)
            except ConnectionError:  # the sender has had enough, which is what some tests want
                self.close_connection = True
            finally:
                receiver.end()

        def _say(self, said: Said) -> None:
            if said.fault is None:
                self.wfile.write(_head(said, len(said.body)) + said.body)
                return
            self.close_connection = True
            match said.fault:
                case Fault.HANG:
                    receiver.hang()
                case Fault.DRIP_HEAD:
                    self._drip(_head(said)[:-2] + b"X-Long: ")
                case Fault.DRIP_BODY:
                    self._drip(_head(said))
                case Fault.FLOOD:
                    self.wfile.write(_head(said))
                    while receiver.pause():
                        self.wfile.write(b"x" * 65_536)
                case Fault.CUT_BODY:
                    self.wfile.write(_head(said, 100))
                case Fault.TWICE:
                    self.close_connection = False
                    self.wfile.write(_head(said, 0) * 2)
                case Fault.GARBAGE:
                    self.wfile.write(b"+OK nice to meet you\r\n\r\n")
                case Fault.CUT:
                    pass

        def _drip(self, beginning: bytes) -> None:
            self.wfile.write(beginning)
            while receiver.pause():
                self.wfile.write(b"x")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Stay silent."""

    return Handler


def _head(said: Said, length: int | None = None) -> bytes:
    headers = dict(said.headers) | ({} if length is None else {"Content-Length": str(length)})
    lines = [f"HTTP/1.1 {said.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
