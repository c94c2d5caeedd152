import json

import pytest
from support import evals, refresh

from orchestrator.errors import ReleaseError
from orchestrator.release import load_release

GOOD = "classify-001_smollm2-135m"


@pytest.fixture
def promoted(evaluated):
    assert evals(evaluated, "promote", GOOD) == 0
    return evaluated


def test_a_release_holds_everything_and_verifies(promoted):
    release = load_release(promoted.champion)
    assert release.manifest.candidate == GOOD
    assert release.prompt.id == "classify-001"
    assert release.evidence()["verdict"]["verdict"] == "PASS"
    assert release.local_classifier()("hello").vector().sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["classify-001.yaml", "local.json", "examples.jsonl", "evidence.json"])
def test_a_changed_file_is_refused_with_its_hash(promoted, name):
    path = promoted.champion / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ReleaseError, match=rf"{name} was changed: SHA-256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        load_release(promoted.champion)


def test_a_missing_file_is_refused(promoted):
    (promoted.champion / "local.json").unlink()
    with pytest.raises(ReleaseError, match="missing"):
        load_release(promoted.champion)


def test_a_changed_threshold_is_refused(promoted):
    path = promoted.champion / "release.json"
    fields = json.loads(path.read_text())
    fields["tuning"]["thresholds"]["safety"] = 0.99
    path.write_text(json.dumps(fields))
    with pytest.raises(ReleaseError, match="was changed: its hash is"):
        load_release(promoted.champion)


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json"])
def test_what_is_no_release_is_refused(tmp_path, content):
    (tmp_path / "release.json").write_text(content)
    with pytest.raises(ReleaseError, match="not a release"):
        load_release(tmp_path)


def test_no_champion_is_said_plainly(tmp_path):
    with pytest.raises(ReleaseError, match="there is no champion"):
        load_release(tmp_path)


def test_a_promoted_prompt_must_not_change(promoted, capsys):
    path = promoted.prompts / "classify-001.yaml"
    path.write_text(path.read_text() + "# a harmless comment\n")
    assert evals(promoted, "validate") == 2
    assert "must not change" in capsys.readouterr().err


def test_the_baseline_cannot_be_promoted(evaluated, capsys):
    assert evals(evaluated, "promote", "local-tfidf") == 2
    assert "only a prompt candidate" in capsys.readouterr().err


def test_rollback_is_one_step_and_can_be_undone(promoted, capsys):
    first = load_release(promoted.champion).manifest.id
    assert evals(promoted, "rollback") == 2
    assert "no previous champion" in capsys.readouterr().err
    refresh(promoted)
    assert evals(promoted, "promote", GOOD) == 0  # promoted again: another date, so another release
    second = load_release(promoted.champion).manifest
    assert evals(promoted, "rollback") == 0
    assert load_release(promoted.champion).manifest.id == first
    assert evals(promoted, "rollback") == 0
    assert load_release(promoted.champion).manifest == second


def test_an_unknown_candidate_names_the_known_ones(evaluated, capsys):
    assert evals(evaluated, "gate", "classify-009_smollm2-135m") == 2
    assert GOOD in capsys.readouterr().err


def test_a_champion_that_is_not_among_the_candidates_is_shown_beside_them(promoted):
    path = promoted.root / "params.yaml"
    path.write_text(path.read_text().replace("- classify-001\n", ""))
    refresh(promoted)
    board = json.loads((promoted.reports / "leaderboard.json").read_text())
    assert [entry["candidate"] for entry in board["candidates"] if entry["champion"]] == [GOOD]
    assert len(board["candidates"]) == 3


def test_a_champion_whose_candidate_has_changed_since_is_shown_beside_it(promoted):
    path = promoted.root / "params.yaml"
    path.write_text(path.read_text().replace("local_threshold: 0.5", "local_threshold: 0.3"))
    refresh(promoted)
    board = json.loads((promoted.reports / "leaderboard.json").read_text())
    release = load_release(promoted.champion).manifest.id
    assert [entry["candidate"] for entry in board["candidates"] if entry["champion"]] == [f"{GOOD}-{release}"]
    assert {GOOD, f"{GOOD}-{release}"} < {entry["candidate"] for entry in board["candidates"]}
    assert any("as it was promoted" in remark for remark in board["remarks"])
