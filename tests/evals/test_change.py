"""What CI says of a change, in a repository of its own."""

import json
import shutil
import subprocess

import pytest
import yaml
from support import ROOT, evals

from evals.metrics import captured
from evals.scored import read_outcomes, write_outcomes
from orchestrator.schema import Category


def git(project, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=project.root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def project(workspace):
    """The released champion with its outcomes, in a repository on branch main."""
    shutil.copytree(ROOT / "reports" / "champion", workspace.reports / "champion")
    shutil.copytree(ROOT / "orchestrator" / "champion", workspace.champion)
    git(workspace, "init", "--quiet", "--initial-branch", "main")
    git(workspace, "add", "--all")
    git(workspace, "commit", "--quiet", "--message", "start")
    return workspace


def name_prompt(project, name):
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    (project.root / "params.yaml").write_text(yaml.safe_dump(params | {"prompts": [*params["prompts"], name]}))


def changed(project, capsys, *arguments):
    assert evals(project, "changed", *arguments) == 0
    return capsys.readouterr().out.split()


def answer_otherwise(project, *, lost, gained=0):
    """Let the champion miss so many more safety messages of the gate split, and catch so many it missed, as if it had been run anew."""
    path = project.reports / "champion" / "outcomes.jsonl"
    rows = read_outcomes(path)
    safety = [row for row in rows if row.split == "gate" and row.label == Category.SAFETY_COMPLIANCE]
    losses = {row.id for row in [row for row in safety if captured(row)][:lost]}
    gains = {row.id for row in [row for row in safety if not captured(row)][:gained]}
    assert (len(losses), len(gains)) == (lost, gained)
    missed = {"category": Category.INFORMATIONAL, "routed_as_safety": False, "review_required": False}
    for i, row in enumerate(rows):
        if row.id in losses | gains:
            decision = row.classification.decision.model_copy(update=missed | {"routed_as_safety": row.id in gains})
            rows[i] = row.model_copy(update={"classification": row.classification.model_copy(update={"decision": decision})})
    digest = write_outcomes(path, rows)
    identity = project.reports / "champion" / "champion.json"
    identity.write_text(json.dumps(json.loads(identity.read_text()) | {"outcomes_sha256": digest}))
    return losses


def test_a_change_of_nothing_asks_nobody_and_the_champion_stands(project, capsys):
    assert changed(project, capsys) == []
    assert evals(project, "review") == 0
    assert "PASS: the champion" in capsys.readouterr().out


def test_a_new_prompt_is_asked_anew_once_it_is_named(project, capsys):
    shutil.copy(project.prompts / "classify-002.yaml", project.prompts / "classify-003.yaml")
    assert changed(project, capsys) == []
    name_prompt(project, "classify-003")
    assert changed(project, capsys) == ["run@classify-003-smollm2-135m"]
    assert changed(project, capsys, "--prompts") == ["classify-003"]


def test_a_changed_champion_is_run_anew(project, capsys):
    path = project.champion / "local.json"
    path.write_text(path.read_text() + " ")
    assert changed(project, capsys) == ["score-champion"]


def test_the_base_is_where_the_branch_left_it(project, capsys):
    """What main got meanwhile is no change of the branch's."""
    git(project, "checkout", "--quiet", "-b", "topic")
    git(project, "checkout", "--quiet", "main")
    name_prompt(project, "classify-009")
    git(project, "commit", "--quiet", "--all", "--message", "another's prompt")
    git(project, "checkout", "--quiet", "topic")
    assert changed(project, capsys) == []


def test_a_champion_that_catches_significantly_less_fails(project, capsys):
    lost = answer_otherwise(project, lost=6)
    assert evals(project, "review") == 1
    said = capsys.readouterr().out
    assert "FAIL: the champion\n  safety capture is worse than the champion's before: 6 lost, 0 gained" in said
    assert all(name in said for name in lost)


def test_a_loss_that_cannot_be_told_from_chance_is_inconclusive(project, capsys):
    answer_otherwise(project, lost=1)
    git(project, "commit", "--quiet", "--all", "--message", "one that can be gained")
    answer_otherwise(project, lost=6, gained=1)
    assert evals(project, "review") == 2
    assert "INCONCLUSIVE: the champion\n  safety capture may be up to" in capsys.readouterr().out


def test_a_champion_below_the_floor_fails_without_a_base_to_compare_with(project, capsys):
    answer_otherwise(project, lost=20)
    git(project, "commit", "--quiet", "--all", "--message", "worse")
    assert evals(project, "review", "--base", "HEAD") == 1
    assert "below the floor" in capsys.readouterr().out


def test_an_edited_or_deleted_prompt_is_refused_and_a_new_one_is_not(project, capsys):
    shutil.copy(project.prompts / "classify-002.yaml", project.prompts / "classify-003.yaml")
    assert evals(project, "append-only") == 0
    (project.prompts / "classify-001.yaml").write_text("id: classify-001\n")
    (project.prompts / "classify-002.yaml").unlink()
    assert evals(project, "append-only") == 1
    said = capsys.readouterr().err
    assert "classify-001.yaml was edited" in said
    assert "classify-002.yaml is gone" in said
    assert "prompts/classify-004.yaml" in said


def test_a_base_that_git_does_not_know_is_told(project, capsys):
    assert evals(project, "review", "--base", "nowhere") == 2
    assert "cannot compare with 'nowhere'" in capsys.readouterr().err
