"""An LLM's server that fails in every way and quotes the message each time, and a collector of traces; on loopback."""

import json
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from orchestrator.testing import scripted_completion

WAYS = ("answers", "400", "401", "429", "500", "no json", "half", "reset", "hangs", "refuses", "cut", "nonsense", "wrong fields")


class QuotingLLM:
    """``way`` is how the next requests are answered."""

    def __init__(self, shares):
        self.way, self.shares, self.url = "answers", shares, ""

    def reply(self, said):
        """Status and body for a message."""
        whole = scripted_completion(self.shares)
        choice = whole["choices"][0]
        if self.way.isdigit():
            return int(self.way), json.dumps({"error": {"message": f"cannot take {said}", "code": said[:40]}})
        if self.way == "refuses":
            choice["message"] |= {"refusal": f"I will not say {said}", "content": None}
        elif self.way == "cut":
            choice["finish_reason"] = "length"
            choice["message"]["content"] = said
        elif self.way == "nonsense":
            choice["message"]["content"] = said
        elif self.way == "wrong fields":
            whole = {"choices": said, "usage": said}
        return 200, said if self.way == "no json" else json.dumps(whole)


@contextmanager
def quoting_llm(shares):
    """Serve it."""
    llm = QuotingLLM(shares)

    class Handler(_Silent):
        def do_POST(self):
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
            if llm.way == "hangs":
                time.sleep(1.5)  # longer than the service's patience in the test
            if llm.way == "reset":
                self.connection.close()
                return
            status, body = llm.reply(said)
            payload = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload) * (2 if llm.way == "half" else 1)))
            self.end_headers()
            self.wfile.write(payload)
            self.close_connection = True

    with _served(Handler) as port:
        llm.url = f"http://127.0.0.1:{port}/v1"
        yield llm


@contextmanager
def collector():
    """A collector of traces: its URL, and the list of bodies it was sent."""
    received = []

    class Handler(_Silent):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with _served(Handler) as port:
        yield f"http://127.0.0.1:{port}", received


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """Say nothing of clients that have gone."""


@contextmanager
def _served(handler):
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
