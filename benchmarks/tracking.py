"""How long logging to MLflow takes a candidate: ``python -m benchmarks.tracking [BACKEND]``, to SQLite and to a server of its own.

The committed results are logged. BACKEND is the server's database (default: SQLite); everything else is in a scratch folder.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from evals.tracking import EXPERIMENT, track, tracking_uri
from evals.workspace import Workspace

READ = ("datasets", "prompts", "reports", "orchestrator", "params.yaml")


def workspace_at(folder: Path) -> Workspace:
    """Return a workspace in a folder whose inputs are this project's: what is logged lies in the folder."""
    folder.mkdir()
    for name in READ:
        (folder / name).symlink_to(Path(name).resolve())
    return Workspace(folder)


@contextlib.contextmanager
def server(folder: Path, backend: str) -> Iterator[str]:
    """Run an MLflow server and yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", address.rpartition(":")[2]]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts")]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=os.environ | settings, stdout=quiet, stderr=quiet) as process:
        try:
            while not answers(f"{address}/health"):
                assert process.poll() is None, "mlflow server ended; start it by hand to see why"
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Say whether somebody answers at an address."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # our own server
    except OSError:
        return False
    return True


def report(name: str, workspace: Workspace) -> None:
    """Log everything and print what it took: the whole, and a candidate from its run's start to the next one's."""
    started = time.perf_counter()
    made = track(workspace)  # before mlflow is imported here: it settles what that prints
    whole_s = time.perf_counter() - started
    import mlflow

    client = mlflow.MlflowClient(tracking_uri(workspace))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    parent, *children = runs
    assert len(runs) == len(made), "somebody else logs there, too"
    ends = [run.info.start_time for run in children[1:]] + [parent.info.end_time]
    took_s = [(end - run.info.start_time) / 1000 for run, end in zip(children, ends, strict=True)]
    print(
        f"{name}: {len(children)} candidates in {whole_s:.1f} s; a candidate {statistics.median(took_s):.2f} s (median), "
        f"{max(took_s):.2f} s at most (the champion, whose model is registered)"
    )


def main() -> None:
    """Log to both, each new."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        report("SQLite (its tables made first)", workspace_at(folder / "local"))
        backend = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder / 'server.db'}"
        with server(folder, backend) as address:
            os.environ["MLFLOW_TRACKING_URI"] = address
            report(f"a server on {backend.partition(':')[0]}", workspace_at(folder / "remote"))


if __name__ == "__main__":
    main()
