import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import text

from orchestrator.__main__ import main
from orchestrator.calibration import BCTS, Fusion
from orchestrator.catalogue import find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.errors import OrchestratorError
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds
from orchestrator.prompts import Prompt, Renderer
from orchestrator.schema import CATEGORIES, Asked, Category, FailureKind, Message, Source
from orchestrator.store.ledger import Ledger, in_random_sample
from orchestrator.testing import FaultyLLM, ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders

PROMPT = Prompt(id="classify-001", title="t", system="s", codes=dict(zip(CATEGORIES, "ABC", strict=True)), max_tokens=16, sha256="0" * 64)


HOURS = Message(text="what are your opening hours?")
RENDER = Renderer(PROMPT, find_model("smollm2-135m"), [])


def calibrator(asked: Asked, source: Source, **changes) -> BCTS:
    return BCTS(**{"temperature": 1.0, "bias": (0.0, 0.0, 0.0), "asked": asked, "source": source, "n": 200} | changes)


def tuning(local, **changes) -> Tuning:
    fitted = {
        "calibrator": calibrator(RENDER.asked, Source.LOGPROB),
        "local_calibrator": calibrator(local.asked, Source.LOCAL),
        "thresholds": Thresholds(safety=0.4, local=0.99, degraded=0.3),
    }
    return Tuning(**fitted | changes)


@pytest.fixture(scope="module")
def local(root) -> LocalClassifier:
    return LocalClassifier.load(root / "reports" / "local-tfidf" / "classifier.json")


def classifier(llm, local, fitted=None) -> Classifier:
    return Classifier(prompt=PROMPT, render=RENDER, llm=llm, local=local, tuning=fitted or tuning(local))


def orchestrator(ledger, local, shares) -> Orchestrator:
    return Orchestrator("test", classifier(ScriptedLLM(lambda _: shares), local), standard_workflows(LocalOrders({})), ledger)


def rows(ledger, table):
    with ledger.engine.connect() as connection:
        return connection.execute(text(f"SELECT * FROM {table}")).mappings().all()


@pytest.mark.parametrize(
    ("shares", "category", "tables"),
    [
        ({"A": 0.95, "B": 0.03, "C": 0.02}, Category.INFORMATIONAL, {"tickets": 0, "compliance_records": 0, "escalations": 0}),
        ({"A": 0.03, "B": 0.95, "C": 0.02}, Category.SERVICE_ACTION, {"tickets": 1, "compliance_records": 0, "escalations": 0}),
        ({"A": 0.03, "B": 0.02, "C": 0.95}, Category.SAFETY_COMPLIANCE, {"tickets": 0, "compliance_records": 1, "escalations": 1}),
    ],
)
def test_each_category_runs_its_workflow_and_leaves_its_rows(ledger, local, shares, category, tables):
    message = Message(text="hello there, write to jo@example.org")
    outcome = asyncio.run(orchestrator(ledger, local, shares).handle(message))
    assert outcome.classification.decision.category == category
    assert outcome.result.workflow == category
    assert {table: len(rows(ledger, table)) for table in tables} == tables
    (interaction,) = rows(ledger, "interactions")
    assert interaction["redacted_text"].endswith("[EMAIL]")
    assert "jo@example.org" not in str(interaction)
    assert ledger.verify() == []


def test_many_writers_do_not_fork_the_chain(ledger, local):
    subject = orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02})

    def handle(number: int) -> None:
        asyncio.run(subject.handle(Message(text=f"message {number}")))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(handle, range(20)))
    assert len(rows(ledger, "audit_events")) == 20
    assert ledger.verify() == []


@pytest.mark.parametrize(
    "tampering",
    [
        """UPDATE audit_events SET event = '{"edited": true}' WHERE id = (SELECT MIN(id) + 1 FROM audit_events)""",
        "DELETE FROM audit_events WHERE id = (SELECT MIN(id) + 1 FROM audit_events)",
    ],
)
def test_an_edited_or_deleted_audit_event_is_found(ledger, local, tampering):
    subject = orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02})
    for number in range(3):
        asyncio.run(subject.handle(Message(text=f"message {number}")))
    with ledger.engine.begin() as connection:
        connection.execute(text(tampering))
    assert ledger.verify()


def test_an_audit_event_says_what_the_decision_rested_on(ledger, local):
    outcome = asyncio.run(orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello there")))
    ((_, event),) = ledger.events()
    classification = outcome.classification
    assert event["kind"] == "classified"
    assert event["probabilities"] == classification.probabilities.model_dump()
    assert (event["source"], event["calibrated"], event["degraded"]) == (classification.source, classification.calibrated, False)
    assert event["random_sample"] == in_random_sample(outcome.request_id)


def test_events_come_in_order_across_pages_and_from_any_point(ledger, local, monkeypatch):
    monkeypatch.setattr("orchestrator.store.ledger.PAGE", 2)
    subject = orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02})
    for number in range(5):
        asyncio.run(subject.handle(Message(text="hello"), request_id=f"m{number}"))
    events = list(ledger.events())
    assert [event["request_id"] for _, event in events] == [f"m{number}" for number in range(5)]
    assert list(ledger.events(after_id=events[2][0])) == events[3:]
    assert ledger.verify() == []


def test_the_random_sample_is_one_message_in_twenty():
    assert sum(in_random_sample(f"m{number}") for number in range(20_000)) == pytest.approx(1000, abs=100)


def test_a_label_is_a_link_of_the_chain_and_says_who_gave_it(ledger, local):
    outcome = asyncio.run(orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello there")))
    decided = ledger.correct(outcome.request_id, Category.SAFETY_COMPLIANCE, " R. Ph. ", "told jo@example.org")
    assert decided == Category.INFORMATIONAL
    assert ledger.correct(outcome.request_id, Category.INFORMATIONAL, "R. Ph.") == Category.INFORMATIONAL
    (_, corrected), (_, confirmed) = list(ledger.events())[1:]
    del corrected["at"]
    assert corrected == {
        "kind": "corrected",
        "request_id": outcome.request_id,
        "release": "test",
        "decided": "informational",
        "label": "safety_compliance",
        "by": "R. Ph.",
        "note": "told [EMAIL]",
    }
    assert confirmed["label"] == confirmed["decided"]
    assert ledger.verify() == []


@pytest.mark.parametrize(("request_id", "by", "words"), [("nobody", "me", "there is no message 'nobody'"), ("m1", "  ", "needs a name")])
def test_a_label_for_no_message_or_by_nobody_is_refused(ledger, local, request_id, by, words):
    asyncio.run(orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello"), request_id="m1"))
    with pytest.raises(OrchestratorError, match=words):
        ledger.correct(request_id, Category.INFORMATIONAL, by)
    assert len(list(ledger.events())) == 1


def test_events_from_before_there_were_kinds_still_verify(ledger, local):
    old = {"at": "2026-11-24T00:00:00+00:00", "request_id": "m0", "release": "test", "decision": {"confidence": 0.1}}
    with ledger.engine.begin() as connection:
        values = {"previous": GENESIS, "hash": _chain(GENESIS, old), "event": json.dumps(old)}
        connection.execute(text("INSERT INTO audit_events (previous_hash, hash, event) VALUES (:previous, :hash, :event)"), values)
    asyncio.run(orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello")))
    assert ledger.verify() == []
    assert [event.get("kind") for _, event in ledger.events()] == [None, "classified"]


def test_the_command_line_records_a_label(tmp_path, local, capsys):
    url = f"sqlite:///{tmp_path}/ledger.db"
    subject = Ledger.at(url, os.environ)
    asyncio.run(orchestrator(subject, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello"), request_id="m1"))
    assert main(["--database", url, "correct", "m1", "service_action", "--by", "R. Ph."]) == 0
    assert main(["--database", url, "correct", "m1", "informational", "--by", "R. Ph."]) == 0
    assert main(["--database", url, "correct", "m2", "informational", "--by", "R. Ph."]) == 2
    printed = capsys.readouterr()
    assert printed.out == "m1: informational corrected to service_action\nm1: informational confirmed\n"
    assert "there is no message 'm2'" in printed.err
    assert [event["kind"] for _, event in subject.events()] == ["classified", "corrected", "corrected"]
    subject.close()


def test_when_the_llm_is_down_the_answer_is_degraded_not_missing(sqlite, local):
    subject = Orchestrator("test", classifier(FaultyLLM(FailureKind.TIMEOUT), local), standard_workflows(LocalOrders({})), sqlite)
    outcome = asyncio.run(subject.handle(Message(text="my throat is closing up after the new tablets")))
    assert outcome.classification.degraded
    assert outcome.classification.failure.kind == FailureKind.TIMEOUT
    assert outcome.classification.decision.category == Category.SAFETY_COMPLIANCE
    assert outcome.classification.source == Source.LOCAL


OTHER = Asked(prompt="another", model="another")


@pytest.mark.parametrize(
    ("asked", "source", "why"),
    [
        (None, Source.VERBALIZED, "source verbalized"),
        (Asked(prompt="another", model=RENDER.asked.model), Source.LOGPROB, "another prompt"),
        (OTHER, Source.LOGPROB, "another model"),
    ],
)
def test_a_calibrator_of_another_prompt_model_or_source_is_not_used_and_the_answer_says_why(local, asked, source, why):
    foreign = tuning(local, calibrator=calibrator(asked or RENDER.asked, source, bias=(5.0, 0.0, 0.0)))
    result = asyncio.run(classifier(ScriptedLLM(lambda _: {"A": 0.3, "B": 0.3, "C": 0.4}), local, foreign)(Message(text="hello")))
    assert not result.calibrated
    assert why in result.uncalibrated
    assert result.probabilities == result.raw_probabilities


def test_a_calibrated_answer_says_so_and_gives_no_reason(local):
    result = asyncio.run(classifier(ScriptedLLM(lambda _: {"A": 0.3, "B": 0.3, "C": 0.4}), local)(Message(text="hello")))
    assert result.calibrated
    assert result.uncalibrated is None


def test_a_degraded_answer_is_uncalibrated_with_the_calibrator_of_another_local_classifier(local):
    foreign = tuning(local, local_calibrator=calibrator(OTHER, Source.LOCAL, bias=(5.0, 0.0, 0.0)))
    result = asyncio.run(classifier(FaultyLLM(FailureKind.TIMEOUT), local, foreign)(Message(text="hello")))
    assert not result.calibrated
    assert "another model" in result.uncalibrated
    assert result.probabilities == local("hello")


def test_a_fusion_weighs_the_llm_and_the_local_classifier(local):
    both = Fusion(
        asked=RENDER.asked,
        source=Source.LOGPROB,
        local=local.asked,
        weights=tuple(tuple(0.5 * (k in {i, i + 3}) for k in range(6)) for i in range(3)),
        bias=(0.0, 0.0, 0.0),
    )
    result = asyncio.run(classifier(ScriptedLLM(lambda _: {"A": 0.5, "B": 0.3, "C": 0.2}), local, tuning(local, calibrator=both))(HOURS))
    mean = np.sqrt(np.array([0.5, 0.3, 0.2]) * local(HOURS.text).vector())
    assert result.calibrated
    assert result.probabilities.vector() == pytest.approx(mean / mean.sum(), abs=1e-6)


def test_a_fusion_with_another_local_classifier_is_not_used(local):
    weights = ((0.0,) * 6,) * 3
    foreign = Fusion(asked=RENDER.asked, source=Source.LOGPROB, local=OTHER, weights=weights, bias=(9.0, 0.0, 0.0))
    result = asyncio.run(classifier(ScriptedLLM(lambda _: {"A": 0.5, "B": 0.3, "C": 0.2}), local, tuning(local, calibrator=foreign))(HOURS))
    assert not result.calibrated
    assert "local classifier" in result.uncalibrated
    assert result.probabilities == result.raw_probabilities


def test_the_local_classifier_reproduces_scikit_learn(root, rows):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    from evals.data import Split
    from evals.local import train
    from orchestrator.local_classifier import VIEWS

    dev = [row for row in rows if row.split == Split.DEV]
    parameters = train(dev, seed=1)
    ours = LocalClassifier(parameters)
    views = [TfidfVectorizer(min_df=2, **settings) for settings in VIEWS.values()]
    theirs = make_pipeline(make_union(*views), LogisticRegression(C=parameters["strength"], class_weight="balanced", max_iter=5000))
    theirs.fit([r.message for r in dev], [CATEGORIES.index(r.label) for r in dev])
    for row in dev[:25]:
        assert ours(row.message).vector() == pytest.approx(theirs.predict_proba([row.message])[0], abs=2e-3)
