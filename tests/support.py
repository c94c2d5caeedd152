"""What several tests share: scored rows made to measure, processes, and services that must be there."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
import yaml
from sqlalchemy import create_engine, text

from evals.__main__ import main
from evals.data import Split
from evals.scored import Scored
from evals.workspace import Workspace
from orchestrator.policy import band_of
from orchestrator.schema import (
    CATEGORIES,
    Band,
    Category,
    Channel,
    Classification,
    Decision,
    Failure,
    FailureKind,
    Probabilities,
    Source,
    Usage,
)

ROOT = Path(__file__).resolve().parent.parent


def absent(reason: str) -> NoReturn:
    """Skip the test for want of what it needs, or fail it where REQUIRE_SERVICES=1 says that it must be there."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def require_service(name: str, host: str, port: int) -> None:
    """Skip without the service, or fail where REQUIRE_SERVICES=1 says that it must be there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        absent(f"{name} does not listen on {host}:{port}")


def require_program(*names: str, wanted_for: str) -> str:
    """The path of the first of these programs that is installed; without one, as :func:`require_service`."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or absent(f"none of {', '.join(names)} is installed; wanted for {wanted_for}")


def require_chromium() -> str:
    """The path of Chromium: CHROMIUM, else what is installed; without one, as :func:`require_service`."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else ["chromium", "chromium-browser", "google-chrome"]
    return require_program(*names, wanted_for="the pages' tests (on Debian: apt-get install chromium)")


def is_local(url: str) -> bool:
    """Whether a request for this URL stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in {"file", "data", "blob", "about"} or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, *, folder: Path = ROOT, within_s: float = 120.0, **environment: str) -> Iterator[str]:
    """Run a server's command until the block ends, and yield ``url`` once it answers there; what it prints goes to the test's output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(command, cwd=folder, env=os.environ | {"PATH": path, **environment}, start_new_session=True) as process:
        try:
            until = time.monotonic() + within_s
            while not _answers(url):
                assert process.poll() is None, f"{command[0]} ended before it answered"
                assert time.monotonic() < until, f"nobody answered at {url} within {within_s} s"
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # its workers, too


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).is_success
    except httpx2.HTTPError:
        return False


@contextmanager
def postgres_database() -> Iterator[str]:
    """Make an empty PostgreSQL database, yield its URL, and drop it."""
    require_service("PostgreSQL", "127.0.0.1", 5432)
    name = f"orchestrator_{uuid.uuid4().hex[:12]}"
    admin = create_engine("postgresql+psycopg://postgres@127.0.0.1:5432/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"postgresql+psycopg://postgres@127.0.0.1:5432/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def make_scored(
    number: int,
    label: Category,
    *,
    routed: bool,
    category: Category | None = None,
    split: Split = Split.GATE,
    failed: bool = False,
    confidence: float = 0.8,
) -> Scored:
    category = category or (Category.SAFETY_COMPLIANCE if routed else Category.INFORMATIONAL)
    rest = (1 - confidence) / 2
    shares = {c.value: confidence if c == category else rest for c in Category}
    return Scored(
        id=f"m{number:04d}",
        seed_id=f"s{number:04d}",
        split=split,
        label=label,
        channel=Channel.CHAT,
        kind="clear",
        slices=("topic:x",),
        cost_usd=0.0,
        classification=Classification(
            decision=Decision(
                category=category,
                confidence=confidence,
                band=Band.MODERATE,
                review_required=False,
                routed_as_safety=routed,
                path="scripted",
            ),
            probabilities=Probabilities(**shares),
            raw_probabilities=None if failed else Probabilities(**shares),
            source=Source.LOGPROB,
            calibrated=True,
            degraded=failed,
            red_flags=(),
            local_safety=0.1,
            failure=Failure(kind=FailureKind.TIMEOUT, detail="scripted") if failed else None,
            usage=Usage(latency_s=0.1),
        ),
    )


def outcomes(*, caught: int, safety: int, flagged: int = 0, rest: int = 100) -> list[Scored]:
    """Gate rows: the first ``caught`` of ``safety`` safety rows are caught, the first ``flagged`` of ``rest`` others flagged."""
    made = [make_scored(i, Category.SAFETY_COMPLIANCE, routed=i < caught) for i in range(safety)]
    made += [make_scored(1000 + i, Category.INFORMATIONAL, routed=i < flagged) for i in range(rest)]
    return made


def make_workspace(folder: Path) -> Workspace:
    """Make a project with the real dataset and two prompts, the second of which makes the scripted model forgetful."""
    folder.mkdir()
    shutil.copytree(ROOT / "datasets", folder / "datasets")
    shutil.copy(ROOT / "dvc.yaml", folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"prompts": ["classify-001", "classify-002"], "models": ["smollm2-135m"], "concurrency": 8, "sample": None}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "prompts").mkdir()
    for number, system in (("001", "Sort the message."), ("002", "Sort the message. FORGETFUL")):
        prompt = {
            "id": f"classify-{number}",
            "title": "A test prompt",
            "codes": {"informational": "A", "service_action": "B", "safety_compliance": "C"},
            "answer": ["category"],
            "max_tokens": 16,
            "system": system,
        }
        (folder / "prompts" / f"classify-{number}.yaml").write_text(yaml.safe_dump(prompt, sort_keys=False))
    return Workspace(folder)


def shrink(workspace: Workspace, rows: int = 60) -> Workspace:
    """Let a workspace run on a sample of so many rows, and return it."""
    path = workspace.root / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"sample": rows}))
    return workspace


def evals(workspace: Workspace, *arguments: str) -> int:
    """Run ``python -m evals`` in this process on a workspace and return its exit code."""
    return main(["--root", str(workspace.root), *arguments])


def regate(workspace: Workspace) -> None:
    """Run the champion, gate and compare: what `dvc repro` does after a promotion, when nothing was fitted anew."""
    assert evals(workspace, "champion") == 0
    for candidate in workspace.candidates():
        assert evals(workspace, "gate", candidate, "--exit-zero") == 0
    assert evals(workspace, "compare") == 0


def refresh(workspace: Workspace) -> None:
    """Score all candidates and gate them, as ``dvc repro`` would."""
    for candidate in workspace.candidates():
        assert evals(workspace, "score", candidate) == 0
    regate(workspace)


def run_module(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m …`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


def simulated(
    n: int, *, seed: int = 0, failed: float = 0.1, labels: tuple[Category, ...] = CATEGORIES, rows_per_seed: int = 1
) -> list[Scored]:
    """Gate rows of a middling system: every number random, some rows failed, a few of them alike to the last digit."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        label = labels[rng.integers(len(labels))]
        shares = np.round(rng.dirichlet(1 + 2.0 * np.eye(len(CATEGORIES))[CATEGORIES.index(label)]), 2)
        own = Probabilities.from_vector(shares + 0.01)
        row = make_scored(index, label, routed=own.safety > 0.3, category=own.top, failed=bool(rng.random() < failed))
        decision = row.classification.decision.model_copy(
            update={"confidence": own.confidence, "band": band_of(own.confidence), "review_required": own.confidence < 0.5}
        )
        classification = row.classification.model_copy(
            update={
                "decision": decision,
                "probabilities": own,
                "raw_probabilities": None if row.classification.failure else Probabilities.from_vector(own.vector() ** 2),
                "usage": Usage(input_tokens=100, output_tokens=5, latency_s=float(rng.gamma(2.0))),
            }
        )
        tags = (f"topic:{'xyz'[rng.integers(3)]}", "lang:en")
        update = {"seed_id": f"s{index // rows_per_seed:04d}", "slices": tags, "characters": int(rng.integers(10, 300)), "cost_usd": 0.001}
        made.append(row.model_copy(update={**update, "classification": classification}))
    return made
