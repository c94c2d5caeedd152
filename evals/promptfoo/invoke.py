"""Run the pinned promptfoo through its PyPI wrapper, with telemetry, sharing, update checks and remote generation switched off."""

from __future__ import annotations

import os
import subprocess  # nosec B404  # the pinned program, never through a shell
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from evals.errors import EvalError
from evals.keys import PACKAGES
from evals.promptfoo.install import PROMPTFOO, installed, search_path

HERE = Path(__file__).resolve().parent
QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",  # of the program and of the wrapper
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_PASS_RATE_THRESHOLD": "0",  # a failed case is a finding, not an error of the run; the gate decides
    "NODE_OPTIONS": "--disable-warning=ExperimentalWarning",
}


def environment(folder: Path) -> dict[str, str]:
    """Return the environment to run the installation in ``folder`` in: its own PATH, settings and database, and this Python."""
    folder = folder.resolve()
    return {
        **os.environ,
        **QUIET,
        "PATH": search_path(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")])),
        "PROMPTFOO_CONFIG_DIR": str(folder / "home"),
        "PROMPTFOO_PYTHON": sys.executable,
        "PROMPTFOO_VERSION": PROMPTFOO,  # should the wrapper ever resort to npx, it takes the same
    }


def command(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command line; raise ``EvalError`` where wrapper or program are not installed."""
    if installed(folder) != PROMPTFOO:
        raise EvalError(f"promptfoo {PROMPTFOO} is not installed in {folder}: run `make promptfoo-install`")
    wrapper = Path(sysconfig.get_path("scripts")) / "promptfoo"
    if not wrapper.is_file():
        raise EvalError("the Python package promptfoo is not installed: run `make setup`")
    return [str(wrapper), *arguments]


def view(folder: Path, port: int) -> NoReturn:
    """Become promptfoo's page, on this machine alone; it ends with Ctrl-C as it would on its own. Raises as ``command`` does."""
    words = command(folder, ["view", "--no", "--port", str(port)])
    own = environment(folder)
    own["NODE_OPTIONS"] += f' --require "{HERE / "local_only.cjs"}"'
    os.execve(words[0], words, own)  # noqa: S606  # nosec B606  # the pinned program


def invoke(folder: Path, arguments: Sequence[str], *, cwd: Path) -> None:
    """Run promptfoo in ``cwd`` with its output on the terminal; raise ``EvalError`` when it ends with anything but 0."""
    words = command(folder, arguments)
    done = subprocess.run(words, cwd=cwd, env=environment(folder), check=False)  # noqa: S603  # nosec B603  # the pinned program
    if done.returncode:
        raise EvalError(f"promptfoo {' '.join(arguments)} ended with {done.returncode}: what it says of it stands above")
