import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, evals, make_workspace

from orchestrator.__main__ import _parser, main
from orchestrator.commands.verbs import PROGRAM
from orchestrator.table_writing import writing_table
from orchestrator.testing import scripted_server
from orchestrator.testing_receiver import Receiver


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "docs" / "command-line.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line]


def test_every_verb_is_documented(page):
    def names(parser, path=""):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, below in action.choices.items():
                    deeper = [*names(below, f"{path} {name}")]
                    yield from deeper or [f"{path} {name}".strip()]

    told = {*commands(page), *re.findall(r"`([a-z ]+)`", page)}
    missing = [name for name in names(_parser()) if not any(f"{PROGRAM} {name}" in line or line == name for line in told)]
    assert missing == []


def by_words(turns):
    text = turns[-1]["content"]
    kind = "C" if "hives" in text else "B" if "parcel" in text or "refund" in text else "A"
    return {code: 0.98 if code == kind else 0.01 for code in "ABC"}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A folder with what the page's commands read, a scripted LLM and somebody who takes the webhooks."""
    workspace = make_workspace(tmp_path / "project")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, value in {"DATABASE_URL": "sqlite:///orchestrator.db", "DATA_DIR": ".", "WEBHOOK_SECRET": "a secret of the tests"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KEY_FILE")
    Path("message.txt").write_text("please refund order ORD-100871\n")
    with writing_table(Path("messages.csv"), {"id": str, "message": str}) as write:
        write({"id": "a", "message": "where is my parcel?"})
    with writing_table(Path("mails.parquet"), {"ticket": str, "body": str}) as write:
        write({"ticket": "b", "body": "I have hives"})
    with scripted_server(by_words) as url, Receiver() as receiver:
        monkeypatch.setenv("LLM_BASE_URL", url)
        monkeypatch.setenv("WEBHOOK_TICKETS_URL", receiver.url)
        monkeypatch.setenv("WEBHOOK_PAGING_URL", receiver.url)
        yield workspace


def run(line: str, workspace) -> int:
    if any(sign in line for sign in "|<>"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=False, env=environment).returncode  # noqa: S602  # the page's own
    program, *arguments = shlex.split(line)[2:]
    return main(arguments) if program == "orchestrator" else evals(workspace, *[_here(word) for word in arguments])


def _here(word: str) -> str:
    return str(Path(word).resolve()) if word.endswith(".csv") else word


def test_the_pages_commands_and_the_auditors_recipe_work_in_the_order_they_stand(page, scratch, capsys):
    assert main(["classify", "--json", "I have hives since the new tablets"]) == 0
    request_id = json.loads(capsys.readouterr().out)["request_id"]
    for line in commands(page):
        assert run(line.replace("REQUEST_ID", request_id), scratch) == 0, line
        capsys.readouterr()
        if "audit export trail" in line:
            recipe(page)
    assert {path.name for path in Path().iterdir()} >= {"answers.jsonl", "answers.parquet", "labels.csv", "trail.jsonl.gz", "keys.env"}


def recipe(page: str) -> None:
    """Run the page's Python in this folder; it raises ``SystemExit`` where the chain does not hold."""
    exec("\n".join(blocks(page, "python")), {})  # noqa: S102  # the page's own code is what is tested


@pytest.mark.parametrize("change", ["edit", "delete", "swap", "cut", "insert"])
def test_the_auditors_recipe_finds_every_change(page, scratch, change):
    for number in range(4):
        assert main(["classify", f"where is parcel {number}?"]) == 0
    assert main(["audit", "export", "trail.jsonl"]) == 0
    recipe(page)
    file = Path("trail.jsonl")
    lines = file.read_text().splitlines()
    changed = {
        "edit": [lines[0], lines[1].replace("service_action", "informational"), *lines[2:]],
        "delete": [lines[0], *lines[2:]],
        "swap": [lines[1], lines[0], *lines[2:]],
        "cut": lines[:-1],
        "insert": [lines[0], *lines],
    }[change]
    assert changed != lines
    file.write_text("\n".join(changed) + "\n")
    with pytest.raises(SystemExit):
        recipe(page)
