"""The pre-commit hooks, each run for real in a scratch repository: it lets good work pass and stops bad work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT

CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
BIN = Path(sys.executable).parent
UNSAFE = '"""Run."""\n\nimport subprocess\n\n\ndef go(text: str) -> None:\n    """Go."""\n    subprocess.run(text, shell=True)\n'


def git(repository, *arguments, check=True):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=repository, capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A repository of its own with what the hooks look at, and the environment they run from."""
    folder = tmp_path_factory.mktemp("hooks") / "project"
    folder.mkdir()
    for name in ("datasets", "prompts", "orchestrator", "evals", "serve", ".ci", ".github"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".pre-commit-config.yaml", ".gitignore", "pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".gitignore").write_text(f"{(folder / '.gitignore').read_text()}\n.venv\nreports\n")
    (folder / ".venv").symlink_to(BIN.parent)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture
def repository(committed):
    yield committed
    git(committed, "reset", "--hard", "--quiet")
    git(committed, "clean", "-fdq")


def write(repository, name, text):
    path = repository / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    git(repository, "add", name)


def hook(repository, name):
    """Run one hook on what is staged; its exit code and what it said."""
    done = subprocess.run(
        [BIN / "pre-commit", "run", name],
        cwd=repository,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PRE_COMMIT_HOME": str(repository.parent / "pre-commit")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_hook_runs_a_tool_of_the_locked_environment():
    """So that its version stands in requirements.lock alone, and a hook needs no network."""
    assert [repo["repo"] for repo in CONFIG["repos"]] == ["local"]
    for entry in (hook["entry"].split()[0] for hook in HOOKS.values()):
        assert (BIN / Path(entry).name).exists() if entry.startswith(".venv/bin/") else os.access(ROOT / entry, os.X_OK), entry
    for name in HOOKS["tests"]["entry"].split()[2:]:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("ruff", "import os\n", '"""A module."""\n'),
        ("ruff-format", "x = {  'a':1}\n", 'x = {"a": 1}\n'),
        ("bandit", UNSAFE, '"""A module."""\n'),
    ],
)
def test_a_hook_on_code_stops_what_its_tool_finds(repository, name, bad, good):
    write(repository, "serve/new.py", bad)
    assert hook(repository, name)[0] == 1
    write(repository, "serve/new.py", good)
    status, said = hook(repository, name)
    assert status == 0, said
    assert "Passed" in said


def test_outputs_of_a_notebook_are_stripped(repository):
    output = {"output_type": "stream", "name": "stdout", "text": ["a message of a patient"]}
    cell = {"cell_type": "code", "id": "a", "execution_count": 3, "metadata": {}, "outputs": [output], "source": ["print(x)"]}
    write(repository, "notebooks/n.ipynb", json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert hook(repository, "nbstripout")[0] == 1
    assert json.loads((repository / "notebooks" / "n.ipynb").read_text())["cells"][0]["outputs"] == []
    git(repository, "add", "notebooks/n.ipynb")
    assert hook(repository, "nbstripout")[0] == 0


def test_a_broken_row_is_named_by_file_and_line(repository):
    path = repository / "datasets" / "dev.jsonl"
    write(repository, "datasets/dev.jsonl", path.read_text() + '{"id": "m9999"}\n')
    status, said = hook(repository, "dataset")
    assert status == 1
    assert f"datasets/dev.jsonl:{len(path.read_text().splitlines())}" in said


def test_a_new_prompt_passes_and_an_edited_or_deleted_one_does_not(repository):
    prompt = (repository / "prompts" / "classify-002.yaml").read_text()
    write(repository, "prompts/classify-077.yaml", prompt.replace("classify-002", "classify-077"))
    assert hook(repository, "append-only")[0] == 0
    write(repository, "prompts/classify-002.yaml", prompt + "# better\n")
    status, said = hook(repository, "append-only")
    assert status == 1
    assert "prompts/classify-002.yaml was edited: prompts are append-only" in said
    assert "prompts/classify-078.yaml" in said
    git(repository, "reset", "--hard", "--quiet")
    git(repository, "mv", "prompts/classify-002.yaml", "prompts/classify-079.yaml")
    status, said = hook(repository, "append-only")
    assert status == 1
    assert "prompts/classify-002.yaml is gone" in said
