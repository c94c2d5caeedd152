"""The whole path through real parts: the embedded LLM, SQLite, real processes and sockets."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import httpx2
import pytest
import yaml
from support import ROOT, evals, run_module

from evals.__main__ import main as evals_main
from evals.data import Split, load_examples, load_split
from evals.scored import read_outcomes
from evals.workspace import Workspace
from orchestrator.__main__ import main as orchestrator_main
from orchestrator.catalogue import find_model
from orchestrator.classify import ask
from orchestrator.connect import open_classifier, open_llm, open_orchestrator
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.release import load_release
from orchestrator.schema import Message

HIVES = "I broke out in hives after the new tablets"


def test_the_served_outcome_is_the_evaluated_one(promoted_once, tmp_path, upstream):
    evaluated_rows = {row.id: row for row in read_outcomes(promoted_once.report("classify-001_smollm2-135m", "outcomes.jsonl"))}
    gate = load_split(promoted_once.datasets, Split.GATE)[:40]

    async def serve() -> dict:
        release = load_release(promoted_once.champion)
        environment = {"LLM_BASE_URL": upstream}
        async with open_orchestrator(release, environment, database_url=f"sqlite:///{tmp_path}/x.db") as orchestrator:
            return {row.id: await orchestrator.handle(row.as_message()) for row in gate}

    for name, outcome in asyncio.run(serve()).items():
        expected = evaluated_rows[name].classification
        assert outcome.classification.model_copy(update={"usage": expected.usage}) == expected


def test_the_embedded_llm_answers_as_it_was_evaluated():
    """The weights and the prompt are the same; another processor's rounding may move a probability a little."""
    release = load_release()
    recorded = {row.id: row for row in read_outcomes(ROOT / "reports" / "champion" / "outcomes.jsonl")}
    rows = load_split(ROOT / "datasets", Split.GATE)[:8]

    async def classify() -> list:
        async with open_llm(find_model(release.manifest.model), {}) as llm:
            classifier = open_classifier(release, llm)
            return [await classifier(row.as_message()) for row in rows]

    for row, classification in zip(rows, asyncio.run(classify()), strict=True):
        expected = recorded[row.id].classification
        assert classification.failure is None
        assert classification.calibrated == expected.calibrated
        assert classification.probabilities.vector() == pytest.approx(expected.probabilities.vector(), abs=0.08)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """``python -m serve`` on the promoted champion and its embedded LLM, as a process of its own."""
    folder = tmp_path_factory.mktemp("service")
    environment = {k: v for k, v in os.environ.items() if k != "LLM_BASE_URL"}
    environment |= {"PORT": "0", "DATABASE_URL": f"sqlite:///{folder}/serve.db"}
    log = (folder / "log").open("w+")
    process = subprocess.Popen([sys.executable, "-m", "serve"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while not (found := re.search(r"running on (http://\S+)", (folder / "log").read_text())):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.1)
    yield found.group(1)
    process.terminate()
    status = process.wait(timeout=30)
    log.close()
    assert status in {0, -signal.SIGTERM}  # uvicorn hands the signal on once it has drained
    assert "Application shutdown complete" in (folder / "log").read_text()


def test_over_http_and_on_the_command_line_the_answer_is_the_same(service, tmp_path):
    over_http = httpx2.post(f"{service}/api/v1/classify", json={"message": HIVES}, timeout=60).json()
    assert over_http["category"] == "safety_compliance"
    assert not over_http["degraded"]
    result = run_module("orchestrator", "--database", f"sqlite:///{tmp_path}/cli.db", "classify", "--json", HIVES)
    assert result.returncode == 0, result.stderr
    on_the_command_line = json.loads(result.stdout)
    assert set(over_http) == set(on_the_command_line)
    same = set(over_http) - {"request_id", "processing_time_ms", "probabilities", "confidence", "decision_path"}
    assert {k: over_http[k] for k in same} == {k: on_the_command_line[k] for k in same}
    assert over_http["confidence"] == pytest.approx(on_the_command_line["confidence"], abs=0.05)


def test_the_readmes_curl_works_as_written(service):
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"^curl .*$", readme, re.MULTILINE).group()
    port = service.rsplit(":", 1)[1]
    shown = subprocess.run(
        ["bash", "-c", command.replace("localhost:8000", f"127.0.0.1:{port}")], capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout)["next_step"]["message"]


def test_special_text_reaches_the_embedded_model_unharmed():
    prompt = load_prompt(ROOT / "prompts" / "classify-003.yaml")
    model = find_model("smollm2-135m")
    render = Renderer(prompt, model, load_examples(ROOT / "datasets"))

    async def go() -> list:
        async with open_llm(model, {}) as llm:
            return [await ask(Message(text=t), prompt, render, llm) for t in ("{{ x }}", "a\x00b", "🤒 fièvre", '"}]}', "x")]

    assert all(answer.probabilities is not None for answer in asyncio.run(go()))


def test_the_command_line_says_what_is_wrong(tmp_path):
    empty = run_module("orchestrator", "classify", "")
    assert empty.returncode == 2
    assert "cannot be classified" in empty.stderr
    released = run_module("orchestrator", "release")
    assert load_release().manifest.id in released.stdout
    database = f"sqlite:///{tmp_path}/empty.db"
    assert "holds" in run_module("orchestrator", "--database", database, "audit", "verify").stdout
    assert json.loads(run_module("orchestrator", "--database", database, "escalations").stdout) == []


def test_the_service_refuses_to_start_on_a_tampered_champion(tmp_path):
    for name in ("orchestrator", "serve"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "orchestrator" / "champion" / "local.json"
    path.write_text(path.read_text() + " ")
    result = run_module("serve", cwd=tmp_path)
    assert result.returncode == 2
    assert re.search(r"local\.json was changed: SHA-256 [0-9a-f]{64}", result.stderr)


def test_importing_the_orchestrator_is_light():
    heavy = ("pandas", "mlflow", "dvc", "openai", "sklearn", "fastapi")
    code = f"import sys, orchestrator.engine; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_leaderboard_has_one_champion_and_it_is_the_one_released():
    board = json.loads((ROOT / "reports" / "leaderboard.json").read_text())
    champions = [entry for entry in board["candidates"] if entry["champion"]]
    manifest = load_release().manifest
    assert [entry["candidate"] in {manifest.candidate, f"{manifest.candidate}-{manifest.id}"} for entry in champions] == [True]
    assert champions[0]["verdict"] == "PASS"
    assert all({"prompt", "model", "safety_capture", "accuracy_system"} <= set(entry) for entry in board["candidates"])


def test_the_champion_against_itself_passes_and_a_worse_copy_does_not(tmp_path, capsys):
    for name in ("datasets", "prompts", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "orchestrator" / "champion", tmp_path / "orchestrator" / "champion")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    workspace, champion = Workspace(tmp_path), load_release().manifest.candidate
    outcomes = (tmp_path / "reports" / "champion" / "outcomes.jsonl").read_text()

    def submit(text):
        workspace.verdicts.unlink(missing_ok=True)  # or the verdict that stands for the candidate's key would be given again
        path = workspace.report(champion, "outcomes.jsonl")
        path.write_text(text)
        metrics = json.loads(workspace.report(champion, "metrics.json").read_text())
        metrics["outcomes_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        workspace.report(champion, "metrics.json").write_text(json.dumps(metrics))
        return evals(workspace, "gate", champion)

    assert submit(outcomes) == 0
    assert submit(outcomes.replace('"routed_as_safety":true', '"routed_as_safety":false')) == 1
    assert "critical items missed" in capsys.readouterr().out
    path = workspace.report(champion, "outcomes.jsonl")
    path.write_text(outcomes)  # sound, but not what the metrics say was scored
    assert evals(workspace, "gate", champion) == 1
    assert "edited after they were scored" in capsys.readouterr().out


def test_every_stage_of_the_pipeline_is_up_to_date():
    """The committed results are those of the committed code and data: `make repro` on a clone has nothing to do."""
    result = run_module("dvc", "status", "--json", DVC_NO_ANALYTICS="true")
    assert json.loads(result.stdout.splitlines()[-1]) == {}, "run `make repro` and commit the reports"


def test_every_make_target_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named <= targets
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"repro", "test", "test-cov", "check", "ui", "serve", "run", "bench", "clean"} <= set(
        re.findall(r"^([a-z-]+)", shown, re.MULTILINE)
    )


def test_every_command_the_readme_names_has_help(capsys):
    readme = (ROOT / "README.md").read_text()
    programs = {"evals": evals_main, "orchestrator": orchestrator_main}
    for package, verb in sorted(set(re.findall(r"python -m (evals|orchestrator) ([a-z]+)", readme))):
        with pytest.raises(SystemExit) as ended:
            programs[package]([verb, "--help"])
        assert ended.value.code == 0, f"{package} {verb}"
        assert f"python -m {package} {verb}" in capsys.readouterr().out


def test_no_lock_file_names_a_package_index():
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in (ROOT / "requirements.lock").read_text()


def test_candidate_ids_fit_dvc():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages)[:4] == ["validate", "card", "local", "run"]
    board = json.loads((ROOT / "reports" / "leaderboard.json").read_text())
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", entry["candidate"]) for entry in board["candidates"])


@pytest.mark.openai
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-6-luna"])
def test_against_the_real_openai_api(name):
    model, prompt = find_model(name), load_prompt(ROOT / "prompts" / "classify-001.yaml")

    async def go():
        async with open_llm(model, os.environ) as llm:
            return await ask(Message(text=HIVES), prompt, Renderer(prompt, model, load_examples(ROOT / "datasets")), llm)

    answer = asyncio.run(go())
    assert answer.failure is None
    assert answer.probabilities.top == "safety_compliance"


def test_the_readmes_figures_are_those_of_the_leaderboard():
    board = json.loads((ROOT / "reports" / "leaderboard.json").read_text())
    shown = (ROOT / "README.md").read_text().split("<!-- results -->")[1].split("<!-- /results -->")[0]
    for entry in board["candidates"]:
        row = next(line for line in shown.splitlines() if f"`{entry['candidate']}`" in line)
        for name in ("accuracy_raw", "accuracy_calibrated", "accuracy_system", "safety_capture", "over_flag_rate"):
            assert f"{entry[name]['value']:.3f}" in row, f"{entry['candidate']}: {name}"
