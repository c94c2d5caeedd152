"""Fixtures: labelled rows, and a small workspace whose LLM is a scripted server on a real socket."""

import hashlib
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import create_engine, text
from support import ROOT, evals, is_local, make_workspace, refresh, require_chromium, require_service

from evals.data import Row, Split, load_splits
from evals.workspace import Workspace
from orchestrator.schema import Category
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
    if "workspace" in request.fixturenames or "evaluated" in request.fixturenames:
        monkeypatch.setenv("LLM_BASE_URL", request.getfixturevalue("upstream"))


@pytest.fixture
def postgres_url():
    """The URL of an empty PostgreSQL database of the test's own."""
    require_service("PostgreSQL", "127.0.0.1", 5432)
    name = f"orchestrator_{uuid.uuid4().hex[:12]}"
    admin = create_engine("postgresql+psycopg://postgres@127.0.0.1:5432/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"postgresql+psycopg://postgres@127.0.0.1:5432/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project of its own with two prompts; nothing has been run in it."""
    return make_workspace(tmp_path / "project")


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Workspace:
    """A project with both candidates and the baseline run, scored and gated. Copy it; do not change it."""
    made = make_workspace(tmp_path_factory.mktemp("evaluated") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", upstream)
        assert evals(made, "validate") == 0
        assert evals(made, "local") == 0
        for prompt in made.params().prompts:
            assert evals(made, "run", prompt, "smollm2-135m") == 0
        refresh(made)
    return made


@pytest.fixture
def evaluated(evaluated_once: Workspace, tmp_path: Path) -> Workspace:
    """An evaluated project of its own."""
    return Workspace(shutil.copytree(evaluated_once.root, tmp_path / "project"))


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
