"""Start what is measured, each in a process of its own on the first core; this process and the LLM's stand-in keep to the last one."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 60.0  # for a start, at most
LOOK_EVERY_S = 0.005
UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
RIVALS = {"a constant from FastAPI": "benchmarks.http.bare:app", "twenty lines with openai's parse": "benchmarks.http.twenty_lines:app"}
OURS = "the service"


@dataclass(frozen=True)
class Server:
    """A server that is ready: its port, its process, and how many seconds it took."""

    port: int
    pid: int
    ready_s: float

    def resident_mb(self, part: str = "VmRSS") -> float:
        """Return the memory that the process holds (RSS), in MB; ``RssAnon`` is the part that no other process shares."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(part))

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep_to_last_core() -> None:
    """Run this process, and what it starts without a word on it, on the last core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def llm_at(port: int) -> dict[str, str]:
    """Return the environment that names the LLM's stand-in."""
    return {"LLM_BASE_URL": f"http://127.0.0.1:{port}/v1"}


@contextmanager
def service(environment: Mapping[str, str], *, data: str | None = None, python: str = sys.executable) -> Iterator[Server]:
    """Run ``python -m serve``, without rate limits, on a database of its own (in ``data``, or a new folder)."""
    with tempfile.TemporaryDirectory() as new:
        settings = {"DATA_DIR": data or new, "RATE_LIMIT_REQUESTS_PER_MINUTE": "0", **environment}
        with _running([python, "-m", "serve"], settings, ready="/ready") as server:
            yield server


@contextmanager
def rival(name: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run one of ``RIVALS``."""
    with _running([sys.executable, *UVICORN, RIVALS[name]], environment, ready="/openapi.json") as server:
        yield server


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], *, ready: str) -> Iterator[Server]:
    port = free_port()
    told = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": str(port), "UVICORN_PORT": str(port), **environment}
    pinned = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(os.getppid())))]
    with tempfile.TemporaryFile() as log:  # not a pipe: one that nobody reads stops the server once it is full
        started = time.perf_counter()
        process = subprocess.Popen([*pinned, *command], env=told, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)
        try:
            while not _is_ready(port, ready):
                if process.poll() is not None or time.perf_counter() - started > START_S:
                    process.kill()
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)} did not start: {log.read()[-2000:].decode()}")
                time.sleep(LOOK_EVERY_S)
            yield Server(port, process.pid, time.perf_counter() - started)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
