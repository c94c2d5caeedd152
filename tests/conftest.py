"""Fixtures: labelled rows, and a small workspace whose LLM is a scripted server on a real socket."""

import fcntl
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support import ROOT, evals, is_local, make_workspace, postgres_database, refresh, regate, require_chromium

from evals.data import Row, Split, load_splits
from evals.tracking import tracking_uri
from evals.workspace import Workspace
from orchestrator.keys import Keys
from orchestrator.schema import Category
from orchestrator.store.ledger import Ledger
from orchestrator.testing import scripted_server


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """A job in the background starts with SIGINT ignored; the tests of Ctrl-C want it as a person at a terminal has it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    return load_splits(ROOT / "datasets", list(Split))


Knowing = Callable[[list[dict[str, str]]], dict[str, float]]


@pytest.fixture(scope="session")
def knowing(rows: list[Row]) -> Knowing:
    """A scripted model that mostly knows the labels. A system turn with FORGETFUL makes it miss a third of the safety rows."""
    label = {row.message: row.label for row in rows}
    codes = {"A": Category.INFORMATIONAL, "B": Category.SERVICE_ACTION, "C": Category.SAFETY_COMPLIANCE}

    def answer(turns: list[dict[str, str]]) -> dict[str, float]:
        text = turns[-1]["content"]
        noise = hashlib.sha256(text.encode()).digest()
        truth = label.get(text, Category.INFORMATIONAL)
        if "FORGETFUL" in turns[0]["content"] and truth == Category.SAFETY_COMPLIANCE and noise[0] % 3 == 0:
            truth = Category.INFORMATIONAL
        certainty = 0.90 + 0.09 * noise[1] / 255
        return {code: certainty if category == truth else (1 - certainty) / 2 for code, category in codes.items()}

    return answer


@pytest.fixture(scope="session")
def upstream(knowing: Knowing):
    """The base URL of the scripted model's server."""
    with scripted_server(knowing) as url:
        yield url


@pytest.fixture(autouse=True)
def _scripted_by_default(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests on a workspace talk to the scripted server; all others to what the environment says."""
    if {"workspace", "evaluated", "promoted_once"} & set(request.fixturenames):
        monkeypatch.setenv("LLM_BASE_URL", request.getfixturevalue("upstream"))


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys for all stores of the tests."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    Keys.new().write(path)
    return path


@pytest.fixture(autouse=True)
def _store_environment(key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test's stores keep their checkpoints apart, wherever the database is."""
    monkeypatch.setenv("KEY_FILE", str(key_file))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def sqlite(tmp_path: Path):
    """A ledger on SQLite."""
    ledger = Ledger.at(f"sqlite:///{tmp_path}/deep/ledger.db", os.environ)
    yield ledger
    ledger.close()


@pytest.fixture
def postgres(postgres_url: str):
    """A ledger on PostgreSQL."""
    ledger = Ledger.at(postgres_url, os.environ)
    yield ledger
    ledger.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """A ledger, on each database."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def postgres_url():
    """The URL of an empty PostgreSQL database of the test's own."""
    with postgres_database() as url:
        yield url


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project of its own with two prompts; nothing has been run in it."""
    return make_workspace(tmp_path / "project")


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Workspace:
    """A project with both candidates and the baseline run, scored and gated. Copy it; do not change it."""

    def make(folder: Path) -> None:
        made = make_workspace(folder)
        assert evals(made, "validate") == 0
        assert evals(made, "local") == 0
        for prompt in made.params().prompts:
            assert evals(made, "run", prompt, "smollm2-135m") == 0
        refresh(made)

    return _shared("evaluated", make, tmp_path_factory, upstream)


@pytest.fixture
def evaluated(evaluated_once: Workspace, tmp_path: Path) -> Workspace:
    """An evaluated project of its own."""
    return Workspace(shutil.copytree(evaluated_once.root, tmp_path / "project"))


@pytest.fixture(scope="session")
def promoted_once(evaluated_once: Workspace, tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Workspace:
    """An evaluated project whose first candidate is the champion, gated against it. Copy it; do not change it."""

    def make(folder: Path) -> None:
        made = Workspace(shutil.copytree(evaluated_once.root, folder))
        assert evals(made, "promote", "classify-001_smollm2-135m") == 0
        regate(made)

    return _shared("promoted", make, tmp_path_factory, upstream)


@pytest.fixture
def promoted(promoted_once: Workspace, tmp_path: Path) -> Workspace:
    """A project of its own whose first candidate is the champion."""
    return Workspace(shutil.copytree(promoted_once.root, tmp_path / "project"))


@pytest.fixture(scope="session")
def tracked_once(promoted_once: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """That project, logged to an MLflow store in it. Copy it; do not change it. What a copy logs lands here, too: none is shared."""
    made = Workspace(shutil.copytree(promoted_once.root, tmp_path_factory.mktemp("tracked") / "project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert evals(made, "track") == 0
    return made


def _shared(name: str, make: Callable[[Path], None], factory: pytest.TempPathFactory, upstream: str) -> Workspace:
    """Return the project of this name: the first of the test processes that wants it makes it, the others wait and use the same."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / name
    folder.mkdir(parents=True, exist_ok=True)
    project, made = folder / "project", folder / "made"
    with (folder / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(project, ignore_errors=True)  # of a process that failed half-way
            patch.setenv("LLM_BASE_URL", upstream)
            make(project)
            made.touch()
    return Workspace(project)


@pytest.fixture
def tracked(tracked_once: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project of its own whose results are in MLflow; figures and tables that were logged before lie in the first one's folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Workspace(shutil.copytree(tracked_once.root, tmp_path / "project"))


@pytest.fixture
def at_store(tracked: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of that project's MLflow store, set as somebody who uses its models has it."""
    import mlflow  # takes two seconds, which most tests need not wait

    uri = tracking_uri(tracked)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading a model puts its code first
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")  # not session: asyncio.run cannot be called in the tests that come while Playwright is open
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless; it downloads nothing. Starting it takes about a second."""
    program = require_chromium()
    quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        # --no-sandbox: the container that runs the tests has no user namespaces, and every page is our own.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *quiet])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page. The test fails where the page logs an error, throws, or asks for anything that is not on this machine."""
    context = browser.new_context()
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(f"console: {message.text}") if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(f"thrown: {error.message}"))
    opened.on("request", lambda request: None if is_local(request.url) else problems.append(f"leaves this machine: {request.url}"))
    yield opened
    context.close()
    assert not problems, problems
