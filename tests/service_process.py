"""``python -m serve`` as a process of its own, as an operator starts it."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
from support import ROOT, free_port

from orchestrator.keys import Keys

URL = "/api/v1/classify"
WITHIN_S = 90.0  # what takes two seconds takes a minute where other things want the cores
HARM = "my throat is closing up since the new tablets"  # a red flag
HELLO = "what are your opening hours?"


class Service:
    """A running service: where it listens, its process, what it has logged and what it has stored in ``folder``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
        self.process, self.url, self.folder = process, url, folder

    def client(self) -> httpx2.Client:
        """A client that waits for longer than any deadline, so that who is never answered is seen."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx2.Client(base_url=self.url, timeout=WITHIN_S, limits=limits, trust_env=False)

    def ask(self, message: str = HELLO, **headers: str) -> httpx2.Response:
        """Ask over a connection of its own."""
        with self.client() as client:
            return client.post(URL, json={"message": message}, headers={name.replace("_", "-"): text for name, text in headers.items()})

    def ready(self) -> httpx2.Response:
        """What ``/ready`` says."""
        with self.client() as client:
            return client.get("/ready")

    def breaker(self) -> str:
        """The state of the LLM's breaker."""
        return str(self.ready().json()["llm"]["breaker"])

    def metric(self, name: str) -> float:
        """The sum of the samples of a metric, named with or without labels: ``a_total`` or ``a_total{kind="b"}``."""
        with self.client() as client:
            text = client.get("/metrics").text
        pattern = re.compile(rf"^{re.escape(name)}{'' if '{' in name else '(?:{.*})?'} (\S+)", re.MULTILINE)
        return sum(float(value) for value in pattern.findall(text))

    def rows(self, sql: str) -> list[tuple]:
        """What the store holds, read past the service."""
        with closing(sqlite3.connect(self.folder / "serve.db", timeout=30)) as connection:
            return connection.execute(sql).fetchall()

    def recorded(self) -> set[str]:
        """The ids of the requests in the store."""
        return {name for (name,) in self.rows("SELECT request_id FROM interactions")}

    def log(self) -> str:
        """All it has printed."""
        return (self.folder / "log").read_text()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(WITHIN_S)

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Return once something is true; fail with the log where it is not in time, or where the service has ended."""
        until = time.monotonic() + WITHIN_S
        while not true():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def _started(self) -> bool:
        """Whether it serves, and has done with its first look at the LLM: what is asked from now on is asked for messages."""
        try:
            said = self.ready()
        except httpx2.HTTPError:
            return False
        return said.status_code == 200 and said.json()["llm"].get("schema") != "pending"


@contextmanager
def service_process(folder: Path, llm: str, *verb: str, **settings: str) -> Iterator[Service]:
    """Start it with its store in ``folder`` and the LLM at ``llm``, yield it once it is ready, and kill it where it has not ended.

    With the verb ``worker`` it is a worker, and its URL is where that tells how it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "keys.json").exists():
        Keys.new().write(folder / "keys.json")
    port = free_port()
    environment = os.environ | {
        "WORKER_PORT" if verb else "PORT": str(port),
        "LLM_BASE_URL": llm,
        "DATABASE_URL": f"sqlite:///{folder}/serve.db",
        "DATA_DIR": str(folder),
        "KEY_FILE": str(folder / "keys.json"),
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
        **settings,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve", *verb], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    service = Service(process, f"http://127.0.0.1:{port}", folder)
    try:
        service.wait_until(service._started)
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers, too
            process.wait()
