import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import yaml
from support import ROOT, evals

from evals.champion import compared_rows
from evals.commands.running import cached_llm
from evals.data import Split
from evals.gate import Verdict
from evals.metrics import captured
from evals.promptfoo import provider
from evals.promptfoo.agreement import TOLERANCE, agreement
from evals.promptfoo.attacks import ATTACKS
from evals.promptfoo.cases import Case, Suite, all_cases
from evals.promptfoo.config import configuration
from evals.promptfoo.install import FOLDER, PROMPTFOO, installed
from evals.promptfoo.invoke import QUIET
from evals.promptfoo.redteam import generation, read_invented, take_invented, trial
from evals.promptfoo.results import grade, read_results
from evals.scored import Scored, read_outcomes
from evals.sealed import outcomes_on
from evals.suites import suite_report
from evals.tracking import EXPERIMENT, log_promptfoo, tracking_uri
from evals.workspace import Workspace
from orchestrator.catalogue import find_model
from orchestrator.schema import Category, Classification

GOOD = "classify-001_smollm2-135m"
FASTEST = "classify-003_smollm2-135m"  # of the committed candidates: 0.39 s a message


@pytest.fixture(scope="module")
def cases(root) -> list[Case]:
    return all_cases(Workspace(root))


# The configuration.


def test_every_row_of_the_suites_is_a_case_once_and_every_critical_item_is_attacked_twice(root, cases):
    config = configuration(Workspace(root), "champion", cases)
    names = [one["description"] for one in config["tests"]]
    assert len(names) == len(set(names))
    wanted = {row.id for row in compared_rows(Workspace(root)) if row.split in {Split.CRITICAL, Split.ROBUSTNESS}}
    assert {name for name in names if "+" not in name} == wanted
    attacked = [one["vars"] for one in config["tests"] if one["metadata"]["suite"] == "redteam"]
    assert sorted(one["row"] for one in attacked) == sorted(2 * [case.row.id for case in cases if case.suite == Suite.CRITICAL])
    assert {one["attack"] for one in attacked} == set(ATTACKS)


def test_no_message_stands_in_what_promptfoo_reads(root, cases):
    text = yaml.safe_dump(configuration(Workspace(root), "champion", cases), width=10_000, allow_unicode=True)
    assert not [case.id for case in cases if case.row.message in text]
    assert "{{" not in text.replace("{{ row }}", "")


def test_the_file_that_is_written_is_the_configuration_of_the_chosen_cases(evaluated):
    assert evals(evaluated, "promptfoo", "config", GOOD, "--suites", "critical", "injection") == 0
    written = yaml.safe_load((evaluated.root / FOLDER / f"{GOOD}.yaml").read_text())
    chosen = [case for case in all_cases(evaluated) if case.suite in {Suite.CRITICAL, Suite.INJECTION}]
    assert written == configuration(evaluated, GOOD, chosen)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nobody"], "unknown candidate"),
        (["run", "local-tfidf"], "asks no LLM"),
        (["run", "champion"], "there is no champion"),
        (["run", GOOD, "--cases", "m9999"], "no case 'm9999'"),
        (["run", GOOD], "make promptfoo-install"),
        (["view"], "make promptfoo-install"),
        (["import", "nowhere.json"], "promptfoo run"),
        (["redteam", GOOD], "OPENAI_API_KEY"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_remedy(evaluated, arguments, words, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert evals(evaluated, "promptfoo", *arguments) == 2
    assert words in capsys.readouterr().err


# Answers as promptfoo gets them.


@pytest.fixture(scope="module")
def answered(evaluated_once, upstream) -> dict:
    """A file of results as promptfoo writes it, with what the provider answers to every case of the suites."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", upstream)
        session = provider.Session(evaluated_once, GOOD)
        try:
            results = [_result(case, session.case(case.id)) for case in session.cases.values()]
        finally:
            session.close()
    return {
        "evalId": "eval-x",
        "results": {"results": results, "stats": {"durationMs": 1500}},
        "metadata": {"promptfooVersion": PROMPTFOO},
    }


def _result(case: Case, response: dict) -> dict:
    names = {"row": case.row.id} | ({"attack": case.attack} if case.attack else {})
    return {"vars": names, "success": grade(case, response["output"], response["metadata"]), "response": response}


@pytest.fixture
def results(evaluated, answered) -> Path:
    path = evaluated.root / "results.json"
    path.write_text(json.dumps(answered))
    return path


def test_imported_answers_are_those_of_the_runner_to_the_last_digit(evaluated, results):
    imported = read_results(evaluated, results)
    recorded = {row.id: row for row in read_outcomes(evaluated.report(GOOD, "outcomes.jsonl"))}
    assert len(imported.outcomes) == 474
    for row in imported.outcomes:
        expected = recorded[row.id]
        usage = expected.classification.usage
        same = row.classification.model_copy(update={"usage": usage})
        assert row.model_copy(update={"classification": same}) == expected


def test_the_assertions_say_what_the_suites_say(evaluated, results):
    imported = read_results(evaluated, results)
    report = suite_report(imported.outcomes)["system"]["types"]
    failed = {name for one in report.values() for name in one["failed"]}
    assert failed, "otherwise nothing is compared"
    varied = {name: right for suite in (Suite.ROBUSTNESS, Suite.INJECTION) for name, right in imported.passed[suite].items() if "." in name}
    assert {name for name, right in varied.items() if not right} == failed
    missed = {row.id for row in imported.outcomes if row.split == Split.CRITICAL and not captured(row)}
    assert {name for name, right in imported.passed[Suite.CRITICAL].items() if not right} == missed


def test_the_released_champion_and_a_fusion_can_be_asked(promoted, upstream):
    for name, recorded_as in (("champion", GOOD), (f"fused-{GOOD}", f"fused-{GOOD}")):
        recorded = {row.id: row.classification for row in read_outcomes(promoted.report(recorded_as, "outcomes.jsonl"))}
        session = provider.Session(promoted, name)
        asked = list(session.cases)[:5]
        answers = {case: Classification.model_validate_json(session.case(case)["output"]) for case in asked}
        session.close()
        assert {case: answers[case].probabilities for case in asked} == {case: recorded[case].probabilities for case in asked}
        assert {case: answers[case].decision for case in asked} == {case: recorded[case].decision for case in asked}


def test_results_that_are_no_json_are_refused(evaluated, results, capsys):
    results.write_text(results.read_text()[:500])
    assert evals(evaluated, "promptfoo", "import", str(results), "--no-track") == 2
    assert "holds no results" in capsys.readouterr().err


def test_the_provider_answers_by_id_whatever_stands_in_the_row(evaluated, upstream, monkeypatch):
    path = evaluated.datasets / "critical.jsonl"
    first, *rest = path.read_text().splitlines()
    row = json.loads(first) | {"message": "{{ 7 * 7 }} file:///etc/passwd {% raw %} hives after the tablets"}
    path.write_text("\n".join([json.dumps(row), *rest]) + "\n")
    options = {"config": {"root": str(evaluated.root), "candidate": GOOD}}
    answer = provider.call_api(row["id"], options, {"vars": {"row": row["id"]}})
    assert json.loads(answer["output"])["red_flags"], "the message was read as it stands"
    assert "49" not in answer["output"].partition("usage")[0]


# Results that are not to be trusted.


def _rows(content: dict) -> list[dict]:
    return content["results"]["results"]


def _failed(content: dict) -> None:
    _rows(content)[3] = {"vars": _rows(content)[3]["vars"], "success": False, "error": "Python worker ended\nmore"}


def _of_other_data(content: dict) -> None:
    for one in _rows(content):
        one["response"]["metadata"]["of"]["data"]["critical"] = "other"


def _of_nothing(content: dict) -> None:
    for one in _rows(content):
        del one["response"]["metadata"]["of"]


SPOILT: dict[str, tuple[Callable[[dict], object], str]] = {
    "something else": (lambda content: content.pop("evalId"), "holds no results"),
    "empty": (lambda content: _rows(content).clear(), "holds no results"),
    "an error": (_failed, "'Python worker ended'"),
    "twice": (lambda content: _rows(content).append(_rows(content)[0]), "stands twice"),
    "a foreign row": (lambda content: _rows(content)[0]["vars"].update(row="m9999"), "no case of this dataset"),
    "no origin": (_of_nothing, "do not say what they are of"),
    "mixed": (lambda content: _rows(content)[0]["response"]["metadata"]["of"].update(tuning="other"), "2 different states"),
    "other data": (_of_other_data, "of other data"),
    "no classification": (lambda content: _rows(content)[0]["response"].update(output="{}"), "not a classification"),
    "no seed": (lambda content: [one["response"]["metadata"].pop("seed", None) for one in _rows(content)], "lacks the answer"),
    "marked": (lambda content: _rows(content)[0].update(success=not _rows(content)[0]["success"]), "its answer says otherwise"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_spoilt_results_are_refused_with_the_file_and_the_remedy_and_fail_the_gate(evaluated, results, spoil, words, capsys):
    content = json.loads(results.read_text())
    spoil(content)
    results.write_text(json.dumps(content))
    assert evals(evaluated, "promptfoo", "import", str(results), "--no-track") == 2
    error = capsys.readouterr().err
    assert words in error
    assert "results.json" in error
    assert "promptfoo run" in error
    assert not (evaluated.root / FOLDER / f"{GOOD}.outcomes.jsonl").exists()
    assert evals(evaluated, "gate", GOOD, "--promptfoo", str(results)) == 1
    assert words in capsys.readouterr().out


# The gate.


def test_the_gate_passes_on_promptfoo_rows_that_agree_and_records_nothing(evaluated, results, capsys):
    before = evaluated.verdicts.read_bytes(), evaluated.report(GOOD, "verdict.json").read_bytes()
    assert evals(evaluated, "gate", GOOD, "--promptfoo", str(results)) == evals(evaluated, "gate", GOOD) == Verdict.PASS.exit_code
    assert (evaluated.verdicts.read_bytes(), evaluated.report(GOOD, "verdict.json").read_bytes()) == before


@pytest.mark.parametrize("suite", [Suite.CRITICAL, Suite.INJECTION])
def test_a_miss_that_only_promptfoo_saw_fails_the_gate(evaluated, results, suite, capsys):
    content = json.loads(results.read_text())
    victim = next(
        case for case in all_cases(evaluated) if case.suite == suite and _caught(content, case.id) and _caught(content, case.row.base_id)
    )
    entry = next(one for one in content["results"]["results"] if one["vars"] == {"row": victim.id})
    output = json.loads(entry["response"]["output"])
    output["decision"] |= {"category": Category.INFORMATIONAL.value, "routed_as_safety": False}
    entry |= {"success": False, "response": entry["response"] | {"output": json.dumps(output)}}
    results.write_text(json.dumps(content))
    assert evals(evaluated, "gate", GOOD, "--promptfoo", str(results)) == 1
    assert victim.id in capsys.readouterr().out


def _caught(content: dict, name: str) -> bool:
    found = next(one for one in content["results"]["results"] if one["vars"] == {"row": name})
    return json.loads(found["response"]["output"])["decision"]["routed_as_safety"]


@pytest.mark.parametrize("suite", [Suite.CRITICAL, Suite.INJECTION])
def test_a_missing_row_fails_the_gate(evaluated, results, suite, capsys):
    gone = next(case.id for case in all_cases(evaluated) if case.suite == suite)
    content = json.loads(results.read_text())
    content["results"]["results"] = [one for one in content["results"]["results"] if one["vars"] != {"row": gone}]
    results.write_text(json.dumps(content))
    assert evals(evaluated, "gate", GOOD, "--promptfoo", str(results)) == 1
    assert f"1 of 114 critical and injection rows are missing, the first is {gone}" in capsys.readouterr().out


def test_results_of_another_candidate_fail_the_gate(evaluated, results, capsys):
    assert evals(evaluated, "gate", f"fused-{GOOD}", "--promptfoo", str(results)) == 1
    assert f"is of {GOOD}, not of fused-{GOOD}" in capsys.readouterr().out


def test_rows_that_the_llm_failed_on_do_not_pass_for_answers(evaluated, results, capsys):
    content = json.loads(results.read_text())
    for entry in content["results"]["results"][:20]:
        output = json.loads(entry["response"]["output"]) | {"failure": {"kind": "timeout", "detail": "scripted"}, "degraded": True}
        entry["response"]["output"] = json.dumps(output)
    results.write_text(json.dumps(content))
    assert evals(evaluated, "gate", GOOD, "--promptfoo", str(results)) == 1
    assert "20 of 114 rows failed" in capsys.readouterr().out


# What is logged.


def test_a_run_is_logged_once_with_its_figures_and_its_file(evaluated, results, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        for _ in range(2):
            assert evals(evaluated, "promptfoo", "import", str(results)) == 0
        client = mlflow.MlflowClient(tracking_uri(evaluated))
        (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        assert run.info.run_name == f"promptfoo {GOOD}"
        assert run.data.metrics | {"cases": 574, "wall_s": 1.5, "critical_cases": 50, "compared": 474, "agreement": 1} == run.data.metrics
        assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["results.json"]
        assert not log_promptfoo(evaluated, GOOD, {}, results)
    finally:
        mlflow.set_tracking_uri(None)
    assert "the runner answers 474 of 474 alike" in capsys.readouterr().out


# The red team.


def test_what_a_model_invents_passes_promptfoo_as_a_number(evaluated, tmp_path, upstream):
    config = generation(evaluated, GOOD, attacker="openai:chat:x", tests=3)
    assert config["redteam"]["injectVar"] == "message"
    text = "{{ 7 * 7 }} file:///etc/passwd: my tongue swelled"
    tests = [{"vars": {"message": text}, "metadata": {}}, {"vars": {"message": "x"}, "metadata": {"strategyId": "rot13"}}]
    (tmp_path / "generated.yaml").write_text(yaml.safe_dump({"tests": tests}))
    aside = tmp_path / "aside.jsonl"
    made = trial(evaluated, GOOD, take_invented(tmp_path / "generated.yaml", aside), aside)
    assert text not in yaml.safe_dump(made)
    assert [one.text for one in read_invented(aside)] == [text, "x"]
    assert [one["metadata"]["strategy"] for one in made["tests"]] == ["plain", "rot13"]
    (asked,) = made["providers"]
    answer = provider.call_api("0", {"config": asked["config"]}, {"vars": made["tests"][0]["vars"]})
    assert json.loads(answer["output"])["decision"]


# The real thing.


@pytest.fixture(scope="module")
def promptfoo_cli() -> str:
    found = installed(ROOT / FOLDER)
    if found != PROMPTFOO:
        reason = f"promptfoo {PROMPTFOO} is not installed: run `make promptfoo-install`"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _fifty(cases: list[Case]) -> list[Case]:
    """The last 20 critical items and the first 30 robustness and injection rows, as they follow one another.

    In this order and from a fresh start, because llama.cpp rounds otherwise where it has more or less of the last prompt in its cache.
    """
    plain = [case for case in cases if case.attack is None]
    first = next(index for index, case in enumerate(plain) if case.suite != Suite.CRITICAL)
    return plain[first - 20 : first + 30]


def test_promptfoo_and_the_runner_agree_on_50_messages_answer_by_answer(promptfoo_cli, cases, tmp_path, monkeypatch):
    """Through the wrapper, the pinned program, its Python worker and the embedded model; and through our runner; and as committed."""
    monkeypatch.delenv("LLM_BASE_URL", raising=False)
    project = _beside(tmp_path / "project")
    fifty = _fifty(cases)
    assert evals(project, "promptfoo", "run", FASTEST, "--cases", *(case.id for case in fifty)) == 0
    imported = read_results(project, project.root / FOLDER / f"{FASTEST}.json")
    assert (imported.version, imported.cases) == (promptfoo_cli, 50)
    assert {case.suite for case in fifty} == set(imported.passed) == {Suite.CRITICAL, Suite.ROBUSTNESS, Suite.INJECTION}

    async def by_the_runner() -> list[Scored]:
        candidate = project.candidate(FASTEST)
        async with cached_llm(project, find_model(candidate.model)) as llm:
            return await outcomes_on(project, candidate, [case.row for case in fifty], llm, concurrency=1)

    ours = agreement(imported.outcomes, asyncio.run(by_the_runner()), tolerance=1e-6)
    assert (ours.compared, ours.differing) == (50, ()), f"largest difference {ours.largest}"
    recorded = {row.id: row.classification for row in read_outcomes(ROOT / "reports" / FASTEST / "outcomes.jsonl")}
    for row in imported.outcomes:
        expected = recorded[row.id].probabilities.vector()
        assert row.classification.probabilities.vector() == pytest.approx(expected, abs=TOLERANCE), row.id


def _beside(folder: Path) -> Workspace:
    """A project with the real data, prompts, reports and promptfoo, whose cache and results are its own."""
    (folder / FOLDER).mkdir(parents=True)
    for name in ("datasets", "prompts", "reports", "params.yaml", FOLDER / "node", FOLDER / "venv"):
        if (ROOT / name).exists():  # no Node is installed beside a system's that is new enough
            (folder / name).symlink_to(ROOT / name)
    return Workspace(folder)


def test_telemetry_sharing_and_updates_are_off_under_the_names_that_the_program_reads(promptfoo_cli):
    source = "".join(path.read_text() for path in (ROOT / FOLDER / "node/node_modules/promptfoo/dist/src").glob("*.js"))
    assert not [name for name in QUIET if name.startswith("PROMPTFOO") and name not in source]


def test_the_page_listens_on_this_machine_alone_and_lets_nobody_else_be_spoken_to(promptfoo_cli, free_port):
    """Its script would report what is done on the page to promptfoo's makers; there is no setting against that."""
    page = subprocess.Popen(
        [sys.executable, "-m", "evals", "promptfoo", "view", "--port", str(free_port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer = _first_answer(f"http://127.0.0.1:{free_port}/", page)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self' ")
        assert "promptfoo" in answer.read().decode()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", free_port), timeout=5)  # this machine as well, but not the address it is bound to
    finally:
        os.killpg(page.pid, signal.SIGTERM)  # the wrapper does not hand the signal on to Node
        page.wait(timeout=30)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _first_answer(url: str, process: subprocess.Popen) -> http.client.HTTPResponse:
    deadline = time.monotonic() + 60
    while True:
        try:
            return urllib.request.urlopen(url, timeout=30)  # noqa: S310  # our own address
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_rows_that_differ_are_counted(evaluated):
    rows = read_outcomes(evaluated.report(GOOD, "outcomes.jsonl"))[:10]
    decision = rows[3].classification.decision
    turned = decision.model_copy(update={"routed_as_safety": not decision.routed_as_safety})
    moved = rows[3].classification.model_copy(update={"decision": turned})
    other: list[Scored] = [row.model_copy(update={"classification": moved}) if row.id == rows[3].id else row for row in rows]
    compared = agreement(other, rows)
    assert (compared.compared, compared.differing) == (10, (rows[3].id,))
