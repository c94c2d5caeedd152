import json
import shutil

import pytest
import yaml
from support import ROOT, evals, run_module

GOOD = "classify-001_smollm2-135m"


def test_a_malformed_dataset_ends_with_exit_2_and_writes_nothing(workspace, capsys):
    path = workspace.datasets / "dev.jsonl"
    path.write_text(path.read_text().replace('"label": "safety_compliance"', '"label": "danger"', 1))
    assert evals(workspace, "validate") == 2
    errors = capsys.readouterr().err
    assert "datasets/dev.jsonl:" in errors
    assert "nothing was written" in errors
    assert not workspace.reports.exists()


def test_a_shot_from_outside_dev_is_refused(workspace, capsys):
    path = workspace.prompts / "classify-001.yaml"
    gate_id = json.loads((workspace.datasets / "gate.jsonl").read_text().splitlines()[0])["id"]
    path.write_text(path.read_text() + yaml.safe_dump({"shots": [{"id": gate_id}]}))
    assert evals(workspace, "validate") == 2
    assert "examples come from dev alone" in capsys.readouterr().err


def test_an_openai_model_without_a_key_names_the_variable_and_warns_of_its_end(workspace, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("LLM_BASE_URL")
    assert evals(workspace, "run", "classify-001", "gpt-4o-mini") == 2
    errors = capsys.readouterr().err
    assert "OPENAI_API_KEY" in errors
    assert "smollm2-135m" in errors
    assert "2027-01-14" in errors


def test_an_openai_model_runs_against_any_base_url_and_is_billed(evaluated, upstream, monkeypatch):
    monkeypatch.delenv("LLM_BASE_URL")
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream)
    path = evaluated.root / "params.yaml"
    path.write_text(path.read_text().replace("- smollm2-135m", "- gpt-4o-mini"))
    assert evals(evaluated, "run", "classify-001", "gpt-4o-mini") == 0
    assert evals(evaluated, "score", "classify-001_gpt-4o-mini") == 0
    report = json.loads(evaluated.report("classify-001_gpt-4o-mini", "metrics.json").read_text())
    assert report["gate"]["usd_per_1000"] == pytest.approx(1000 * (100 * 0.15 + 5 * 0.60) / 1e6)


@pytest.mark.parametrize(
    ("content", "words"), [("prompts: [", "params.yaml"), ("models: [x]", "prompts"), ("{}", "prompts"), (None, "give --root")]
)
def test_broken_parameters_are_named(workspace, content, words, capsys):
    path = workspace.root / "params.yaml"
    path.unlink() if content is None else path.write_text(content)
    assert evals(workspace, "run", "classify-001", "smollm2-135m") == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "classify-009", "smollm2-135m"], "classify-009.yaml"),
        (["run", "classify-001", "gpt-9"], "unknown model"),
        (["score", GOOD], "run `dvc repro`"),
        (["gate", "nobody"], "unknown candidate"),
        (["leaderboard"], "make repro"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(workspace, root, arguments, words, capsys):
    shutil.copytree(root / "reports" / "local-tfidf", workspace.reports / "local-tfidf")
    assert evals(workspace, *arguments) == 2
    assert words in capsys.readouterr().err


def test_the_leaderboard_prints_every_candidate_and_what_the_numbers_say(evaluated, capsys):
    assert evals(evaluated, "leaderboard") == 0
    printed = capsys.readouterr().out
    assert all(candidate in printed for candidate in evaluated.candidates())
    assert "no champion yet" in printed


def test_run_on_dev_writes_no_answers(workspace, capsys):
    assert evals(workspace, "run", "classify-001", "smollm2-135m", "--dev") == 0
    assert "400 rows" in capsys.readouterr().out
    assert not workspace.reports.exists()


def test_flags_are_measured_on_dev(workspace, capsys):
    assert evals(workspace, "flags") == 0
    table = json.loads(capsys.readouterr().out)
    assert table["rows"] == 400
    assert table["recall"] > 0.3
    assert table["false_alarms"] < 0.1


def test_help_names_every_verb():
    printed = run_module("evals", "--help", cwd=ROOT).stdout
    for verb in (
        "validate",
        "card",
        "import",
        "export",
        "suspects",
        "power",
        "run",
        "score",
        "compare",
        "gate",
        "promote",
        "rollback",
        "leaderboard",
    ):
        assert verb in printed
