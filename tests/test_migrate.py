"""Moving the champion to another model, for real: two embedded models, both served by llama.cpp."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from requantise import requantised
from support import ROOT, evals

from evals.migrate import migrant
from evals.workspace import EvalError
from orchestrator.catalogue import find_model

OTHER = "smollm2-135m-q4-0"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project on a sample of its messages, with a second model in its catalogue."""
    folder = tmp_path_factory.mktemp("migrate") / "project"
    folder.mkdir()
    for name in ("datasets", "prompts", "orchestrator", "evals"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"sample": 20}))
    shipped = find_model("smollm2-135m")
    other = {"provider": "embedded", "gguf": str(requantised(shipped.gguf_path(), folder / "other.gguf")), "input": 0.0, "output": 0.0}
    other |= {"shutdown": None, "top_logprobs": 60, "max_length": True, "temperature": 0.0}
    with (folder / "orchestrator" / "models.yaml").open("a") as catalogue:
        catalogue.write(yaml.safe_dump({OTHER: other}))
    return folder


def run(project, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "LLM_BASE_URL"}
    command = [sys.executable, "-W", "ignore", "-m", "evals", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_champion_moves_to_another_model_and_is_told_what_changes(project):
    for verb in ("local", "champion"):
        assert run(project, verb).returncode == 0
    moved = run(project, "migrate", "--from", "smollm2-135m", "--to", OTHER)
    release = json.loads((project / "orchestrator" / "champion" / "release.json").read_text())
    candidate = f"{release['prompt']}_{OTHER}"
    assert moved.returncode in {1, 2}, moved.stderr  # so few messages certify nothing: FAIL, or INCONCLUSIVE at best
    assert "safety capture" in moved.stdout
    assert "messages are decided otherwise." in moved.stdout
    assert "Gate: FAIL" in moved.stdout
    report = json.loads((project / "reports" / candidate / "metrics.json").read_text())
    assert report["model"] == OTHER
    assert report["of"]["model"] != release["model_digest"]
    tuning = json.loads((project / "reports" / candidate / "tuning.json").read_text())
    assert tuning["calibrator"]["asked"]["model"] == report["of"]["model"]  # fitted anew for the other model
    answers = (project / "reports" / candidate / "answers.jsonl").read_text().splitlines()
    assert all("failure" not in json.loads(line)["answer"] for line in answers)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", OTHER, "--to", "smollm2-135m"), "give --from smollm2-135m"),
        (("--from", "smollm2-135m", "--to", "smollm2-135m"), "name another model"),
        (("--from", "smollm2-135m", "--to", "nonsense"), "unknown model 'nonsense'"),
    ],
)
def test_a_migration_that_makes_no_sense_is_refused_with_the_remedy(workspace, arguments, words, capsys):
    shutil.copytree(ROOT / "orchestrator" / "champion", workspace.champion)
    assert evals(workspace, "migrate", *arguments) == 2
    assert words in capsys.readouterr().err


def test_without_a_champion_there_is_nothing_to_migrate(workspace, capsys):
    with pytest.raises(EvalError, match="no champion"):
        migrant(None, "a", "b")
    assert evals(workspace, "migrate", "--from", "smollm2-135m", "--to", "gpt-4o-mini") == 2
    assert "promote a candidate first" in capsys.readouterr().err
