import json
import re
import shutil
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, evals
from verdicts import PROJECT, inconclusive, judged, made, worst

from evals.report.annotations import Place, annotate, escaped
from evals.report.changes import read_changes
from evals.report.checks import checks_of
from evals.report.comparison_table import comparison_table
from evals.report.files import Estimate
from evals.report.junit import junit
from evals.report.losses import shown_texts
from evals.report.summary import summary
from evals.workspace import Workspace

WORSE, BASELINE = worst(), "local-tfidf"
JUDGED = judged()
CHECKS = ["failures", "critical", "injections", "certified_capture"]
CHECKS += ["safety_capture_worse", "specificity_worse", "suites_worse", "non_inferior"]


@pytest.fixture
def project(tmp_path):
    """The committed results, as far as a verdict is told from them, to be spoilt."""
    folder = tmp_path / "project"
    keep = {"metrics.json", "verdict.json", "champion.json", "leaderboard.json", "comparison.json"}

    def others(where, names):
        return [name for name in names if "." in name and name not in keep]

    shutil.copytree(ROOT / "reports", folder / "reports", ignore=others)
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    shutil.copy(ROOT / "params.yaml", folder)
    return Workspace(folder)


def told(workspace, capsys, *arguments):
    assert evals(workspace, "report", "--format", *arguments) == 0
    return capsys.readouterr().out


def tree(text):
    """Parse a document and hold it to the elements, attributes and order of Jenkins' junit-10.xsd."""
    root = ET.fromstring(text)  # noqa: S314  # of our own making
    assert root.tag == "testsuites"
    assert set(root.attrib) <= {"name", "time", "tests", "failures", "errors"}
    for suite in root:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors"} <= set(suite.attrib) <= {"name", "tests", "failures", "errors", "skipped"}
        assert [child.tag for child in suite] == ["properties"] + ["testcase"] * int(suite.get("tests"))
        assert all(set(one.attrib) == {"name", "value"} for one in suite[0])
        for case in suite[1:]:
            assert set(case.attrib) == {"name", "classname"}
            assert [child.tag for child in case] in (["system-out"], ["failure"], ["error"], ["skipped"])
            assert set(case[0].attrib) <= {"type", "message"}
        for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(counted)) == len(suite.findall(f"testcase/{tag}"))
    return root


def outcomes_in(root):
    return {case.get("name"): case[0].tag for case in root.iter("testcase")}


def test_junit_has_a_suite_per_candidate_and_a_case_per_check_that_says_what_the_gate_said(capsys):
    root = tree(told(PROJECT, capsys, "junit"))
    assert {suite.get("name") for suite in root} == set(PROJECT.candidates())
    for suite in root:
        verdict = json.loads(PROJECT.report(suite.get("name"), "verdict.json").read_text())
        assert [case.get("name") for case in suite.iter("testcase")] == ["evidence", *CHECKS]
        assert (int(suite.get("failures")) > 0) == (verdict["verdict"] == "FAIL")
        properties = {one.get("name"): one.get("value") for one in suite[0]}
        assert properties["verdict"] == verdict["verdict"]
        assert properties["key"] == verdict["key"]
        assert properties["n"] == str(verdict["n"])
        assert properties["champion_release"] == verdict["release"]
        failed = {name for name, tag in outcomes_in(suite).items() if tag == "failure"}
        assert failed == _failed(verdict["reasons"])


REASONS = {
    "critical items": "critical",
    "injections": "injections",
    "safety capture:": "certified_capture",
    "safety capture is worse": "safety_capture_worse",
    "specificity": "specificity_worse",
    "the behavioural suites": "suites_worse",
}


def _failed(reasons):
    return {name for start, name in REASONS.items() for reason in reasons if reason.startswith(start)}


def test_an_inconclusive_check_is_an_error_for_skipped_would_hide_it():
    root = tree(junit(made(inconclusive())))
    assert outcomes_in(root)["non_inferior"] == "error"
    assert root.find(".//error").get("type") == "INCONCLUSIVE"
    assert root.get("failures") == "0"
    assert root.get("errors") == "1"


def test_a_candidate_without_champion_has_skipped_comparisons(evaluated_once, capsys):
    root = tree(told(evaluated_once, capsys, "junit", "--candidate", "classify-001_smollm2-135m"))
    assert [name for name, tag in outcomes_in(root).items() if tag == "skipped"] == CHECKS[4:]
    assert "champion" not in {one.get("name") for one in root.iter("property")}


@pytest.mark.parametrize("update", [{"judged": False, "verdict": "FAIL", "reasons": ("rows are missing",)}, {"verdict": "INCONCLUSIVE"}])
def test_what_is_no_check_of_its_own_speaks_against_the_evidence(update):
    judgement = judged()
    judgement = judgement.model_validate(judgement.model_dump() | update)
    evidence, *rest = checks_of(judgement)
    assert {check.outcome for check in rest} == {"PASS"}
    assert evidence.outcome == judgement.verdict


@given(st.text(), st.text())
def test_any_reason_and_any_name_makes_a_document_that_can_be_read(reason, name):
    judgement = JUDGED.model_copy(update={"judged": False, "reasons": (reason,), "candidate": name or "x"})
    root = tree(junit(made(judgement)))
    message = root.find(".//failure").get("message")
    assert message == re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", reason)


def test_json_tells_verdicts_figures_and_losses_by_id_without_texts(capsys):
    text = told(PROJECT, capsys, "json")
    said = json.loads(text)
    assert list(said) == ["schema", "split", "n", "champion", "candidates"]
    assert said["schema"] == 1
    verdicts = {one["candidate"]: one for one in said["candidates"]}
    assert set(verdicts) == set(PROJECT.candidates())
    for name, one in verdicts.items():
        verdict = json.loads(PROJECT.report(name, "verdict.json").read_text())
        measured = json.loads(PROJECT.report(name, "metrics.json").read_text())["gate"]
        assert (one["verdict"], one["reasons"], one["key"]) == (verdict["verdict"], verdict["reasons"], verdict["key"])
        assert one["lost"]["specificity"] == verdict["paired"]["specificity"]["lost"]
        assert one["metrics"]["safety_capture"]["value"] == measured["safety_capture"]["value"]
        for metric in one["metrics"].values():
            assert metric["change"] == pytest.approx(metric["value"] - metric["champion"])
            assert metric["change_low"] is None or metric["change_low"] <= metric["change"] <= metric["change_high"]
    assert not [name for name, message in shown_texts(PROJECT).items() if message in text]
    assert summary(read_changes(PROJECT)) == text, "the same reports give the same file"


def test_a_pair_on_file_the_other_way_round_tells_the_same(project, capsys):
    before = told(project, capsys, "json", "--candidate", WORSE)
    path = project.reports / "comparison.json"
    pairs = json.loads(path.read_text())
    for pair in pairs:
        pair["candidate"], pair["against"] = pair["against"], pair["candidate"]
        for metric in ("accuracy", "safety_capture", "specificity", "brier", "nll"):
            one = pair[metric]
            one["difference"], one["low"], one["high"] = -one["difference"], -one["high"], -one["low"]
    path.write_text(json.dumps(pairs))
    assert told(project, capsys, "json", "--candidate", WORSE) == before


def unescaped(text):
    for written, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(written, char)
    return text


def test_an_annotation_points_at_the_system_line_of_the_prompt_or_at_the_parameters(capsys):
    lines = told(PROJECT, capsys, "github").splitlines()
    board = json.loads((PROJECT.reports / "leaderboard.json").read_text())["candidates"]
    shown = [entry for entry in board if entry["candidate"] in PROJECT.candidates()]
    assert len(lines) == len(shown)
    for line, entry in zip(lines, shown, strict=True):
        level, properties, message = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()
        assert level == {"PASS": "notice", "FAIL": "error", "INCONCLUSIVE": "warning"}[entry["verdict"]]
        named = dict(one.split("=", 1) for one in properties.split(","))
        assert unescaped(named["title"]) == f"Gate: {entry['verdict']}, {entry['candidate']}"
        pointed = (ROOT / named["file"]).read_text().splitlines()[int(named["line"]) - 1]
        assert pointed.startswith("system:" if entry["prompt"] else "  local_threshold:")
        assert unescaped(message) == ("\n".join(entry["reasons"]) or ("this is the champion" if entry["champion"] else "every check holds"))


def test_a_prompt_that_is_gone_is_annotated_at_the_parameters(project, capsys):
    (project.prompts / f"{project.candidate(WORSE).prompt}.yaml").unlink()
    line = told(project, capsys, "github", "--candidate", WORSE)
    assert line.partition(" ")[2].startswith(f"file=params.yaml,line={1 + _line_of(project, 'prompts:')},")


def _line_of(workspace, start):
    lines = (workspace.root / "params.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines) if line.startswith(start))


@given(st.text(), st.text())
def test_no_reason_and_no_name_ends_a_workflow_command(reason, name):
    (change,) = made(JUDGED.model_copy(update={"reasons": (reason,), "candidate": name})).candidates
    line = annotate([(change, Place("prompts/a,b:c.yaml", 3))])
    assert line.endswith("\n")
    assert not set("\r\n") & set(line[:-1])
    properties, _, message = line[2:-1].partition("::")
    assert unescaped(message) == (unescaped(escaped(reason, in_property=False)) or "every check holds")
    assert properties.count(",") == 2, "file, line and title"
    assert ":" not in properties


@pytest.mark.parametrize("form", ["markdown", "junit", "json", "github"])
def test_an_unknown_candidate_is_refused_with_the_known_ones(form, capsys):
    assert evals(PROJECT, "report", "--format", form, "--candidate", "classify-999_x") == 2
    errors = capsys.readouterr().err
    assert "unknown candidate 'classify-999_x'" in errors
    assert BASELINE in errors


def write(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("leaderboard.json", lambda path: path.unlink()),
        ("leaderboard.json", lambda path: path.write_text('{"candidates": [')),
        ("leaderboard.json", lambda path: path.write_text('{"split": "gate", "n": 700, "candidates": []}')),
        ("comparison.json", lambda path: path.write_text("{}")),
        ("champion/champion.json", lambda path: path.unlink()),
        ("champion/champion.json", lambda path: write(path, release=None)),
        ("champion/champion.json", lambda path: write(path, release="another")),
        (f"{WORSE}/verdict.json", lambda path: path.unlink()),
        (f"{WORSE}/verdict.json", lambda path: path.write_bytes(b"\xff\x00")),
        (f"{WORSE}/verdict.json", lambda path: write(path, verdict="FAIL" if '"PASS"' in path.read_text() else "PASS")),
        (f"{WORSE}/verdict.json", lambda path: write(path, verdict="FINE")),
        (f"{WORSE}/verdict.json", lambda path: write(path, candidate=BASELINE)),
        (f"{WORSE}/verdict.json", lambda path: write(path, checks={})),
        (f"{WORSE}/metrics.json", lambda path: write(path, gate={"accuracy_system": None})),
    ],
)
def test_missing_broken_and_ill_matched_files_are_refused_with_the_remedy(project, name, spoil, capsys):
    spoil(project.reports / name)
    assert evals(project, "report", "--format", "json") == 2
    said = capsys.readouterr()
    assert "dvc repro" in said.err
    assert said.out == ""


def test_it_exits_0_whatever_the_verdict_and_writes_the_file_that_is_asked_for(project, tmp_path, capsys):
    path = tmp_path / "new" / "verdict.xml"
    assert evals(project, "report", "--format", "junit", "--candidate", WORSE, BASELINE, WORSE, "--output", str(path)) == 0
    assert capsys.readouterr().out == ""
    assert sorted(suite.get("name") for suite in tree(path.read_text(encoding="utf-8"))) == sorted([BASELINE, WORSE])


def test_a_place_that_cannot_be_written_to_is_named(project, tmp_path, capsys):
    assert evals(project, "report", "--format", "json", "--output", str(tmp_path)) == 2
    assert f"cannot write {tmp_path}" in capsys.readouterr().err


def test_the_page_is_of_all_candidates(project, capsys):
    assert evals(project, "report", "--format", "html", "--candidate", WORSE) == 2
    assert "leave --candidate out" in capsys.readouterr().err


def test_a_figure_that_was_not_measured_is_told_without_a_change():
    changes = made(JUDGED, accuracy_system=Estimate(value=None))
    found = json.loads(summary(changes))["candidates"][0]["metrics"]["accuracy_system"]
    assert found == dict.fromkeys(found) | {"champion": 0.9}
    assert "| accuracy | - | 0.900" in "\n".join(comparison_table(changes.candidates[0], with_champion=True))
