import asyncio
import hashlib
import json
import os
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from support import evals, run_module

from evals.commands.online import parse_moment
from evals.intervals import Estimate, proportion
from evals.online import AtPrior, Status, check
from evals.proper import brier_scores
from evals.workspace import Workspace
from orchestrator.calibration import BCTS
from orchestrator.catalogue import find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds
from orchestrator.prompts import Prompt, Renderer
from orchestrator.release import champion_folder, manifest_id
from orchestrator.schema import CATEGORIES, FailureKind, Message, Source
from orchestrator.store.ledger import Ledger, in_random_sample
from orchestrator.testing import FaultyLLM, ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders

PROMPT = Prompt(id="classify-001", title="t", system="s", codes=dict(zip(CATEGORIES, "ABC", strict=True)), max_tokens=16, sha256="0" * 64)
RENDER = Renderer(PROMPT, find_model("smollm2-135m"), [])


def tuning(local) -> Tuning:
    llm, own = (
        BCTS(asked=asked, source=source, temperature=1.0, bias=(0.0, 0.0, 0.0), n=200)
        for asked, source in ((RENDER.asked, Source.LOGPROB), (local.asked, Source.LOCAL))
    )
    return Tuning(calibrator=llm, local_calibrator=own, thresholds=Thresholds(safety=0.4, local=1.0, degraded=1.0))


AT_PRIOR = {
    "flag_rate": proportion(70, 700),
    "review_rate": proportion(35, 700),
    "degraded_rate": proportion(0, 700),
    "brier": Estimate(value=0.2, low=0.15, high=0.25, n=700),
    "accuracy": proportion(630, 700),
    "bands": {"high": proportion(560, 700), "moderate": proportion(105, 700), "low": proportion(35, 700), "uncertain": proportion(0, 700)},
}
EXPECTED = AtPrior(**AT_PRIOR)
SAMPLED = [name for name in (f"m{number}" for number in range(4000)) if in_random_sample(name)]


def event(number=0, **changes):
    decision = {
        "category": "informational",
        "confidence": 0.95,
        "band": "high",
        "review_required": False,
        "sampled_for_audit": False,
        "routed_as_safety": False,
        "path": "scripted",
    }
    return {
        "kind": "classified",
        "at": f"2026-11-24T00:{number // 60 % 60:02}:{number % 60:02}+00:00",
        "request_id": f"m{number}",
        "release": "r1",
        "decision": decision | changes.pop("decision", {}),
        "probabilities": {"informational": 0.95, "service_action": 0.03, "safety_compliance": 0.02},
        "source": "logprob",
        "calibrated": True,
        "degraded": False,
        "random_sample": False,
    } | changes


def label(request_id, category, **changes):
    return {"kind": "corrected", "request_id": request_id, "release": "r1", "decided": "informational", "label": category} | changes


def traffic(n, **parts):
    """``n`` events as the evidence expects them."""
    bands = ["high"] * 16 + ["moderate"] * 3 + ["low"]
    return [
        event(i, decision={"band": bands[i % 20], "routed_as_safety": i % 10 == 0, "review_required": i % 20 == 19}, **parts)
        for i in range(n)
    ]


def by_name(report):
    return {one.name: one for one in report.checks}


def test_traffic_as_expected_is_ok():
    report = check(traffic(2000), EXPECTED, release="r1")
    assert report.alerts == ()
    assert report.messages == 2000
    found = by_name(report)
    assert found["flag_rate"].observed == proportion(200, 2000)
    assert found["band_moderate"].observed == proportion(300, 2000)
    assert {one.status for one in report.checks} == {Status.OK, Status.TOO_FEW}
    assert {one.name for one in report.checks if one.status == Status.TOO_FEW} == {"correction_rate", "brier"}
    assert report.threshold == pytest.approx(len(report.checks) / 0.05)


def test_an_alert_stays_when_the_traffic_is_well_again():
    outage = [event(i, degraded=True) for i in range(20)]
    report = check(outage + traffic(5000), EXPECTED, release="r1")
    found = by_name(report)["degraded_rate"]
    assert found.status == Status.ALERT
    assert found.observed.value < found.high


def test_portions_make_no_difference(monkeypatch):
    events = traffic(300) + [event(i, degraded=i % 9 == 0) for i in range(100)]
    whole = check(events, EXPECTED, release="r1")
    monkeypatch.setattr("evals.online.PORTION", 7)
    assert check(events, EXPECTED, release="r1") == whole


def test_other_releases_earlier_messages_and_other_kinds_are_passed_over():
    events = [event(0), event(60), event(61, release="r2"), {"kind": "reviewed", "release": "r1"}, event(62)]
    assert check(events, EXPECTED, release="r1").messages == 3
    assert check(events, EXPECTED, release="r1", since=datetime(2026, 11, 24, 0, 1, tzinfo=UTC)).messages == 2
    assert check([], EXPECTED, release="r1").messages == 0


def test_events_from_before_degradation_was_recorded_are_unknown_not_well():
    new = ("kind", "probabilities", "source", "calibrated", "degraded", "random_sample")
    old = [{name: value for name, value in one.items() if name not in new} for one in traffic(40)]
    report = check(old + traffic(10), EXPECTED, release="r1")
    assert report.unknown == 40
    assert by_name(report)["degraded_rate"].observed.n == 10
    assert by_name(report)["flag_rate"].observed.n == 50
    assert report.labels.sampled == 0


def test_only_the_random_sample_before_its_first_gap_is_tested():
    events = [event(i, random_sample=i % 2 == 0) for i in range(10)]
    labels = [label("m0", "informational"), label("m2", "service_action"), label("m6", "service_action"), label("m1", "service_action")]
    report = check(events + labels, EXPECTED, release="r1")
    assert report.labels.model_dump() == {"sampled": 5, "tested": 2, "outside": 1, "outside_corrected": 1, "next": ("m4", "m8")}
    assert by_name(report)["correction_rate"].observed == proportion(1, 2)
    closed = check([*events, *labels, label("m4", "informational")], EXPECTED, release="r1")
    assert closed.labels.tested == 4
    assert by_name(closed)["correction_rate"].observed == proportion(2, 4)


def test_the_order_of_labelling_makes_no_difference_and_the_last_label_counts():
    events = [event(i, random_sample=True) for i in range(6)]
    labels = [label(f"m{i}", "service_action" if i % 3 == 0 else "informational") for i in range(6)]
    first = check(events + labels, EXPECTED, release="r1")
    assert check([*events, *reversed(labels)], EXPECTED, release="r1") == first
    assert check([*events, label("m1", "safety_compliance"), *labels], EXPECTED, release="r1") == first


def test_the_brier_score_is_that_of_the_metrics_and_a_degraded_message_counts_a_third_each():
    events = [event(0, random_sample=True), event(1, random_sample=True, degraded=True)]
    report = check([*events, label("m0", "service_action"), label("m1", "informational")], EXPECTED, release="r1")
    expected = float(brier_scores(np.array([[0.95, 0.03, 0.02], [1 / 3, 1 / 3, 1 / 3]]), np.array([1, 0])).mean())
    assert by_name(report)["brier"].observed.value == pytest.approx(expected)


def test_labels_that_mostly_differ_alert_on_both_checks():
    events = traffic(60, random_sample=True)
    labels = [label(f"m{i}", "service_action" if i % 2 else "informational") for i in range(60)]
    assert check(events + labels, EXPECTED, release="r1").alerts == ("correction_rate", "brier")


@pytest.fixture
def project(tmp_path) -> Workspace:
    """A project whose champion's evidence says what to expect of traffic."""
    made = Workspace(tmp_path / "project")
    shutil.copytree(champion_folder(), made.champion)
    bands = {name: estimate.model_dump() for name, estimate in AT_PRIOR["bands"].items()}
    at_prior = {name: value.model_dump() for name, value in AT_PRIOR.items() if name != "bands"} | {"bands": bands}
    rewrite_evidence(made, lambda metrics: metrics | {"at_prior": at_prior})
    return made


def rewrite_evidence(workspace, change):
    path = workspace.champion / "evidence.json"
    evidence = json.loads(path.read_text())
    path.write_text(json.dumps(evidence | {"metrics": change(evidence["metrics"])}))
    manifest = workspace.champion / "release.json"
    fields = json.loads(manifest.read_text())
    fields["files"]["evidence.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(fields | {"id": manifest_id(fields)}))


def release_id(workspace):
    return json.loads((workspace.champion / "release.json").read_text())["id"]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(scope="module")
def local(root) -> LocalClassifier:
    return LocalClassifier.load(root / "reports" / "local-tfidf" / "classifier.json")


def shares_of(text_):
    """One in ten is safety, three in twenty are moderate, one in twenty is low and reviewed: what the evidence expects."""
    number = int(text_.rsplit(" ", 1)[1])
    if number % 10 == 0:
        return {"A": 0.02, "B": 0.03, "C": 0.95}
    return {19: {"A": 0.28, "B": 0.6, "C": 0.12}}.get(number % 20) or (
        {"A": 0.8, "B": 0.15, "C": 0.05} if number % 20 in {3, 4, 5} else {"A": 0.95, "B": 0.03, "C": 0.02}
    )


def serve(url, workspace, llm, local, request_ids):
    """Handle one message per request id, as the service would."""
    classifier = Classifier(prompt=PROMPT, render=RENDER, llm=llm, local=local, tuning=tuning(local))
    ledger = Ledger.at(url, os.environ)
    subject = Orchestrator(release_id(workspace), classifier, standard_workflows(LocalOrders({})), ledger)

    async def handle():
        return [await subject.handle(Message(text=f"message {i}"), request_id=name) for i, name in enumerate(request_ids)]

    outcomes = asyncio.run(handle())
    ledger.close()
    return outcomes


def test_a_healthy_stream_is_exit_0_and_a_drifted_one_exit_1_with_metrics_that_parse(project, database, local, tmp_path, capsys):
    outcomes = serve(database, project, ScriptedLLM(shares_of), local, SAMPLED[:120])
    ledger = Ledger.at(database, os.environ)
    for outcome in outcomes[:60]:
        ledger.correct(outcome.request_id, outcome.classification.decision.category, "R. Ph.")
    ledger.close()
    metrics = tmp_path / "metrics" / "online.prom"
    assert evals(project, "online", "--database", database, "--metrics", str(metrics)) == 0
    printed = capsys.readouterr().out
    assert "120 messages" in printed
    assert "60 of the 120 messages drawn at random are tested" in printed
    assert samples(metrics)["online_check_alert", "degraded_rate"] == 0

    serve(database, project, FaultyLLM(FailureKind.TIMEOUT), local, SAMPLED[120:140])
    assert evals(project, "online", "--database", database, "--metrics", str(metrics)) == 1
    printed = capsys.readouterr().out
    assert "ALERT" in printed
    found = samples(metrics)
    assert found["online_check_alert", "degraded_rate"] == 1
    assert found["online_check_value", "degraded_rate"] == pytest.approx(20 / 140)
    assert found["online_check_expected_high", "degraded_rate"] == pytest.approx(proportion(0, 700).high + 0.02)
    assert found["online_check_e_value", "degraded_rate"] >= found["online_check_threshold", None]


def samples(path):
    families = text_string_to_metric_families(path.read_text())
    return {(sample.name, sample.labels.get("check")): sample.value for family in families for sample in family.samples}


def test_json_holds_the_report_and_the_command_runs_as_a_process(project, tmp_path, local):
    url = f"sqlite:///{tmp_path}/ledger.db"
    serve(url, project, ScriptedLLM(shares_of), local, SAMPLED[:3])
    done = run_module("evals", "--root", str(project.root), "online", "--json", DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["release"] == release_id(project)
    assert report["messages"] == 3
    assert report["labels"]["next"] == SAMPLED[:3]
    assert {one["status"] for one in report["checks"]} <= {"ok", "not enough"}


def test_a_broken_chain_is_a_mistake_and_leaves_the_metrics_alone(project, database, local, tmp_path, capsys):
    serve(database, project, ScriptedLLM(shares_of), local, SAMPLED[:3])
    ledger = Ledger.at(database, os.environ)
    with ledger.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_events WHERE id = (SELECT MIN(id) + 1 FROM audit_events)"))
    ledger.close()
    metrics = tmp_path / "online.prom"
    metrics.write_text("as it was")
    assert evals(project, "online", "--database", database, "--metrics", str(metrics)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "does not hold" in printed.err
    assert "does not follow the one before it" in printed.err
    assert metrics.read_text() == "as it was"


def test_a_champion_promoted_before_the_evidence_held_it_is_told_to_be_promoted_again(project, tmp_path, capsys):
    rewrite_evidence(project, lambda metrics: {name: value for name, value in metrics.items() if name != "at_prior"})
    assert evals(project, "online", "--database", f"sqlite:///{tmp_path}/ledger.db") == 2
    assert f"release {release_id(project)} was promoted before" in capsys.readouterr().err


def test_evidence_that_is_no_evidence_is_named(project, tmp_path, capsys):
    rewrite_evidence(project, lambda metrics: metrics | {"at_prior": {"flag_rate": 0.1}})
    assert evals(project, "online", "--database", f"sqlite:///{tmp_path}/ledger.db") == 2
    assert "its evidence cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--database", "sqlite:///nowhere.db"], "there is no audit trail at nowhere.db"),
        (["--database", "postgresql+psycopg://postgres@127.0.0.1:1/x"], "the database does not answer"),
        (["--database", "nonsense"], "the database cannot be read"),
        (["--since", "yesterday"], "is not a moment"),
        (["--release", "abc"], "the evidence of release 'abc' is not here; known: "),
        (["--tolerance", "2"], "at least 0 and below 1"),
    ],
)
def test_mistakes_are_exit_2_and_say_what_to_do(project, arguments, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert evals(project, "online", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "nowhere.db").exists()


def test_the_release_before_the_champion_can_be_asked_about(project, tmp_path, local, capsys):
    url = f"sqlite:///{tmp_path}/ledger.db"
    previous = release_id(project)
    serve(url, project, ScriptedLLM(shares_of), local, SAMPLED[:3])
    shutil.copytree(project.champion, project.champion.with_name("champion_previous"))
    rewrite_evidence(project, lambda metrics: metrics | {"later": True})
    assert evals(project, "online", "--database", url) == 0
    assert evals(project, "online", "--database", url, "--release", previous) == 0
    printed = capsys.readouterr().out
    assert f"0 messages of release {release_id(project)}" in printed
    assert f"3 messages of release {previous}" in printed


def test_a_moment_without_an_offset_is_utc():
    assert parse_moment("2026-11-24") == datetime(2026, 11, 24, tzinfo=UTC)
    assert parse_moment("2026-11-24T01:00+01:00") == datetime(2026, 11, 24, tzinfo=UTC)
