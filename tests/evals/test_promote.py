import json
import re
import shutil

import pytest
from support import evals, refresh, regate

from evals.data import Split, load_split
from evals.workspace import Workspace
from orchestrator.errors import ReleaseError
from orchestrator.release import load_release
from orchestrator.testing import scripted_server

GOOD = "classify-001_smollm2-135m"


@pytest.fixture(scope="module")
def loosened_once(promoted_once, tmp_path_factory, upstream):
    """What is fitted has changed since the promotion, so that the candidates are others than before."""
    made = Workspace(shutil.copytree(promoted_once.root, tmp_path_factory.mktemp("loosened") / "project"))
    path = made.root / "params.yaml"
    path.write_text(path.read_text().replace("local_threshold: 0.5", "local_threshold: 0.6"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", upstream)
        refresh(made)
    return made


@pytest.fixture
def loosened(loosened_once, tmp_path):
    return Workspace(shutil.copytree(loosened_once.root, tmp_path / "project"))


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


def test_rollback_is_one_step_and_can_be_undone(loosened, capsys):
    first = load_release(loosened.champion).manifest.id
    assert evals(loosened, "rollback") == 2
    assert "no previous champion" in capsys.readouterr().err
    assert evals(loosened, "promote") == 0
    second = load_release(loosened.champion).manifest
    assert second.id != first
    assert evals(loosened, "rollback") == 0
    assert load_release(loosened.champion).manifest.id == first
    assert evals(loosened, "rollback") == 0
    assert load_release(loosened.champion).manifest == second


def test_a_release_tells_what_it_is_of_and_what_was_measured_with_bounds(promoted):
    release = load_release(promoted.champion)
    evidence = release.evidence()
    assert set(release.manifest.data) == {"dev", "calibration", "gate", "critical", "robustness"}
    assert len(release.manifest.code) == 64
    assert evidence["certificate"]["verdict"] == "PASS"
    assert evidence["certificate"]["safety_capture"]["low"] > 0.9
    assert {"low", "high", "n"} < set(evidence["metrics"]["gate"]["accuracy_system"])
    assert evidence["metrics"]["at_prior"]["flag_rate"]["n"] == 700
    assert release.manifest.tuning.calibrator.asked.model == release.manifest.model_digest


def uses(workspace):
    return [json.loads(line) for line in workspace.sealed_uses.read_text().splitlines()]


def test_a_use_of_the_sealed_split_is_written_down_before_and_after(promoted):
    opened, closed = uses(promoted)
    assert opened["candidate"] == closed["candidate"] == GOOD
    assert "verdict" not in opened
    assert closed["verdict"] == "PASS"


def test_the_certificate_names_no_message(promoted):
    assert not re.search(r"m\d{4}", promoted.sealed_uses.read_text())


def test_a_use_that_was_stopped_goes_on_as_the_same_use(promoted, capsys):
    promoted.sealed_uses.write_text(promoted.sealed_uses.read_text().splitlines()[0] + "\n")
    shutil.rmtree(promoted.champion)
    regate(promoted)
    assert evals(promoted, "promote") == 0
    assert "use 1 of the sealed split" in capsys.readouterr().out
    assert len({line["key"] for line in uses(promoted)}) == 1


def test_promoting_the_same_again_asks_the_sealed_split_nothing(promoted, capsys):
    shutil.rmtree(promoted.champion)
    regate(promoted)
    before = promoted.sealed_uses.read_text()
    assert evals(promoted, "promote") == 0
    assert "use" not in capsys.readouterr().out.split("leaderboard")[-1]
    assert promoted.sealed_uses.read_text() == before


def test_after_ten_uses_the_sealed_split_is_refused(loosened, capsys):
    line = uses(loosened)[0]
    spent = [json.dumps(line | {"key": f"k{number}"}) for number in range(10)]
    loosened.sealed_uses.write_text("\n".join(spent) + "\n")
    assert evals(loosened, "promote") == 2
    assert "used 10 times" in capsys.readouterr().err
    assert len(uses(loosened)) == 10


def test_the_champion_is_not_promoted_again(promoted, capsys):
    assert evals(promoted, "promote", GOOD) == 2
    assert "is the champion already" in capsys.readouterr().err


def test_only_the_first_of_those_that_pass_is_sent_to_the_sealed_split(evaluated, capsys):
    entry = evaluated.reports / "entries" / f"fused-{GOOD}.json"
    fields = json.loads(entry.read_text())
    entry.write_text(json.dumps(fields | {"verdict": "PASS", "nll_out_of_fold": 0.0001}))
    assert evals(evaluated, "promote", GOOD) == 2
    assert f"fused-{GOOD} ranks before {GOOD}" in capsys.readouterr().err
    assert not evaluated.sealed_uses.exists()


def test_a_candidate_that_fails_on_the_sealed_split_is_not_promoted_and_why_says_so(evaluated, capsys, knowing):
    def worse(turns):
        """Knows the rows it was gated on, and takes the sealed ones for service messages."""
        return knowing(turns) if turns[-1]["content"] not in sealed else {"A": 0.05, "B": 0.9, "C": 0.05}

    sealed = {row.message for row in load_split(evaluated.datasets, Split.SEALED)}
    with scripted_server(worse) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", url)
        assert evals(evaluated, "promote") == 2
    assert "below the floor" in capsys.readouterr().err
    assert not (evaluated.champion / "release.json").exists()
    assert evals(evaluated, "why", GOOD) == 0
    assert "on the sealed split" in capsys.readouterr().out
    assert evals(evaluated, "promote") == 2  # the verdict stands, although the model knows better by now
    assert uses(evaluated)[-1]["verdict"] == "FAIL"


def test_why_explains_each_case_in_plain_words(promoted, capsys):
    for candidate, words in (
        (GOOD, f"{GOOD} is the champion since"),
        ("classify-002_smollm2-135m", "was not promoted: it fails the gate."),
        ("local-tfidf", "- specificity on non-safety messages is worse"),
    ):
        assert evals(promoted, "why", candidate) == 0
        printed = capsys.readouterr().out
        assert words in printed
        assert "It catches" in printed


def test_an_unknown_candidate_names_the_known_ones(evaluated, capsys):
    assert evals(evaluated, "gate", "classify-009_smollm2-135m") == 2
    assert GOOD in capsys.readouterr().err


def test_a_champion_that_is_not_among_the_candidates_is_shown_beside_them(promoted):
    path = promoted.root / "params.yaml"
    path.write_text(path.read_text().replace("- classify-001\n", ""))
    regate(promoted)
    board = json.loads((promoted.reports / "leaderboard.json").read_text())
    assert [entry["candidate"] for entry in board["candidates"] if entry["champion"]] == [GOOD]
    assert len(board["candidates"]) == 4  # classify-002, it fused, the baseline, and the champion


def test_a_champion_whose_candidate_has_changed_since_is_shown_beside_it(loosened):
    board = json.loads((loosened.reports / "leaderboard.json").read_text())
    release = load_release(loosened.champion).manifest.id
    assert [entry["candidate"] for entry in board["candidates"] if entry["champion"]] == [f"{GOOD}-{release}"]
    assert {GOOD, f"{GOOD}-{release}"} < {entry["candidate"] for entry in board["candidates"]}
    assert any("as it was promoted" in remark for remark in board["remarks"])
