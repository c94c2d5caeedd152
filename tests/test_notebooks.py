"""The notebooks run as they are committed, define nothing of their own, and leave the project as it was."""

import ast
import hashlib
import html
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from support import ROOT, run_module

from evals.data import Split

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TIMEOUT_S = 240  # for one cell; the slowest takes some 10 s where nothing else runs
WATCHED = ("datasets", "notebooks", "orchestrator/champion", "prompts", "reports")  # what a notebook reads and must not touch
LEARNT_FROM = {Split.DEV, Split.CALIBRATION}  # messages that may be shown
DISTINCT = 25  # characters at the start of a message that tell it from any other text


class Executed(NamedTuple):
    notebook: nbformat.NotebookNode
    before: dict[str, str]
    after: dict[str, str]

    def outputs(self):
        return [output for cell in self.notebook.cells if cell.cell_type == "code" for output in cell.outputs]

    def kinds(self):
        return {kind for output in self.outputs() for kind in output.get("data", {})}

    def texts(self):
        return [output.get("text") or "".join(map(str, output.get("data", {}).values())) for output in self.outputs()]


def code_cells(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def snapshot() -> dict[str, str]:
    files = {path for folder in WATCHED for path in (ROOT / folder).rglob("*") if path.is_file()}
    hashes = {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return hashes | {path.name: "there" for path in ROOT.iterdir() if not path.name.startswith(".coverage")}


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def executed(request, tmp_path_factory, upstream):
    """A notebook run in a kernel of its own: every other one from the project's root, the rest from their own folder."""
    path = request.param
    scratch = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", upstream)  # the embedded model is tested elsewhere
        patch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other on a busy machine take ten times as long
        patch.setenv("IPYTHONDIR", str(scratch))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(scratch))
        before = snapshot()
        cwd = ROOT if NOTEBOOKS.index(path) % 2 else FOLDER
        client = NotebookClient(nbformat.read(path, as_version=4), timeout=TIMEOUT_S, resources={"metadata": {"path": str(cwd)}})
        return Executed(client.execute(), before, snapshot())


def test_there_are_five():
    assert [path.name[0] for path in NOTEBOOKS] == list("12345")


def test_it_shows_a_table_and_a_figure(executed):
    assert "text/html" in executed.kinds()
    assert {"image/svg+xml", "image/png"} & executed.kinds()


def test_nothing_warns(executed):
    assert not [output.text for output in executed.outputs() if output.get("name") == "stderr" and "Warning" in output.text]


def test_the_project_is_as_it_was(executed):
    assert executed.after == executed.before


def test_no_message_that_only_measures_is_shown(executed, rows):
    shown = html.unescape(" ".join(executed.texts()))
    secret = [row for row in rows if row.split not in LEARNT_FROM and len(row.message) >= DISTINCT]
    assert len(secret) > 1000
    assert not [row.id for row in secret if row.message[:DISTINCT] in shown]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing(path):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    found = [ast.unparse(node) for cell in code_cells(path) for node in ast.walk(ast.parse(cell)) if isinstance(node, definitions)]
    assert found == []


def test_all_find_the_project_in_the_same_way():
    assert len({code_cells(path)[0] for path in NOTEBOOKS}) == 1


def test_outputs_are_stripped():
    verified = run_module("nbstripout", "--verify", *map(str, NOTEBOOKS))
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_metadata_name_no_machine(path):
    assert nbformat.read(path, as_version=4).metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
