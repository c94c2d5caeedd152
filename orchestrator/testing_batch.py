"""A batch API for tests, on a real loopback socket: files, batches, and the faults that a provider's has."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from orchestrator.testing import Answerer, scripted_completion

NOT_EXECUTED = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


@dataclass
class BatchServer:
    """Speaks ``/v1/files``, ``/v1/batches`` and ``/v1/chat/completions``; use as a context manager.

    ``answer`` maps the chat turns to ``{code: probability}``. ``polls`` is how often a batch is looked at before it
    ends. ``ends`` says how each batch ends, in the order they are started: its status, and the share of its lines that
    is executed by then; those after it complete. ``line_status`` gives the HTTP status of the n-th line, ``rewrite``
    changes the lines of an output file. ``fault`` may give an HTTP status for a call (``POST /v1/batches``), which then
    has no effect; ``after`` is called when a call has had its effect and its reply is not sent yet.
    """

    answer: Answerer
    polls: int = 1
    max_requests: int = 50_000
    ends: Sequence[tuple[str, float]] = ()
    line_status: Callable[[int], int] = lambda _: 200
    rewrite: Callable[[list[str]], list[str]] = list
    fault: Callable[[str], int | None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    calls: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    _polled: dict[str, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """The base URL, once the server is started."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        """Start."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, method: str, path: str, body: bytes, headers: Message) -> tuple[int, bytes]:
        """Answer one call with a status and a body."""
        call = f"{method} {path.partition('?')[0]}"
        with self._lock:
            self.calls.append(call)
            if status := self.fault(call):
                return _error(status, "scripted")
            answer = self._route(call, path, body, headers)
            self.after(call)
            return answer

    def _route(self, call: str, path: str, body: bytes, headers: Message) -> tuple[int, bytes]:
        answered = _error(404, f"no such thing: {path}")
        match call.replace("/", " ").split():
            case ["POST", "v1", "chat", "completions"]:
                answered = _json(scripted_completion(self.answer(json.loads(body)["messages"])))
            case ["POST", "v1", "files"]:
                answered = self._upload(body, headers)
            case ["GET", "v1", "files", name, "content"] if name in self.files:
                answered = 200, self.files[name]
            case ["GET", "v1", "batches"]:
                answered = _json(self._page(path))
            case ["POST", "v1", "batches"]:
                answered = self._create(json.loads(body))
            case ["GET", "v1", "batches", name] if name in self.batches:
                answered = _json(self._look(name))
            case ["POST", "v1", "batches", name, "cancel"] if name in self.batches:
                answered = self._cancel(name)
        return answered

    def _upload(self, body: bytes, headers: Message) -> tuple[int, bytes]:
        form = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
        parts = {part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True) for part in form.walk()}
        content = parts["file"]
        if parts["purpose"] != b"batch" or not isinstance(content, bytes):
            return _error(400, "not a file for a batch")
        name = self._keep(content)
        described = {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "f"}
        return _json(described | {"purpose": "batch", "status": "processed"})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _page(self, path: str) -> dict[str, Any]:
        names = list(self.batches)[::-1]  # the newest first
        after = path.partition("after=")[2].partition("&")[0]
        names = names[names.index(after) + 1 if after else 0 :]
        page = [self.batches[name] for name in names[:2]]  # short pages, so that going on to the next one is tested
        return {"object": "list", "data": page, "has_more": len(names) > len(page), "last_id": page[-1]["id"] if page else None}

    def _create(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if body["completion_window"] != "24h" or body["endpoint"] != "/v1/chat/completions" or body["input_file_id"] not in self.files:
            return _error(400, "not a batch")
        name = f"batch_{len(self.batches)}"
        count = self.files[body["input_file_id"]].count(b"\n")
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "created_at": 0,
            "status": "validating",
            **body,
            "request_counts": {"total": count, "completed": 0, "failed": 0},
        }
        return _json(self.batches[name])

    def _look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        self._polled[name] = self._polled.get(name, 0) + 1
        if batch["status"] == "cancelling":
            self._end(name, "cancelled", 0.5)
        elif batch["status"] in {"validating", "in_progress"}:
            if self._polled[name] <= self.polls:
                batch["status"] = "in_progress"
            else:
                number = list(self.batches).index(name)
                self._end(name, *(self.ends[number] if number < len(self.ends) else ("completed", 1.0)))
        return batch

    def _cancel(self, name: str) -> tuple[int, bytes]:
        batch = self.batches[name]
        if batch["status"] not in {"validating", "in_progress"}:
            return _error(409, f"cannot cancel a batch that is {batch['status']}")
        batch["status"] = "cancelling"
        return _json(batch)

    def _end(self, name: str, status: str, share: float) -> None:
        batch = self.batches[name]
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        if problems := self._problems(lines) or ([] if status != "failed" else [(1, "scripted")]):
            errors = [{"code": "invalid_request", "line": line, "message": message} for line, message in problems]
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            return
        output, wrong = [], []
        for number, line in enumerate(lines):
            executed = number < share * len(lines)
            code = self.line_status(number)
            done: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if executed and code == 200:
                completion = scripted_completion(self.answer(line["body"]["messages"]))
                output.append(done | {"response": {"status_code": 200, "request_id": "r", "body": completion}})
            elif executed:
                body = {"error": {"message": "scripted", "code": None}}
                wrong.append(done | {"response": {"status_code": code, "request_id": "r", "body": body}})
            else:
                wrong.append(done | {"error": {"code": NOT_EXECUTED[status], "message": "This request was not executed."}})
        counts = {"total": len(lines), "completed": len(output), "failed": len(wrong)}
        batch |= {"status": status, "request_counts": counts}
        for field_, content in (("output_file_id", self.rewrite([_line(o) for o in output])), ("error_file_id", [_line(w) for w in wrong])):
            if content:
                batch[field_] = self._keep("".join(f"{one}\n" for one in content).encode())

    def _problems(self, lines: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """What the validation says of an input file, as line and message."""
        problems = [(0, f"more than {self.max_requests} requests")] if len(lines) > self.max_requests else []
        seen: set[str] = set()
        for number, line in enumerate(lines, 1):
            if line["custom_id"] in seen:
                problems.append((number, "custom_id is not unique"))
            if (line["method"], line["url"]) != ("POST", "/v1/chat/completions") or line["body"]["model"] != lines[0]["body"]["model"]:
                problems.append((number, "not a request of this batch"))
            seen.add(line["custom_id"])
        return problems


def _handler(batch_server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, payload = batch_server.handle(self.command, self.path, body, self.headers)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except ConnectionError:  # the client was killed, which is what some tests do
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Stay silent."""

    return Handler


def _json(value: Any) -> tuple[int, bytes]:
    return 200, json.dumps(value).encode()


def _error(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"message": message, "code": None}}).encode()


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
