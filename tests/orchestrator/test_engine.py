import asyncio
import os

import numpy as np
import pytest
from sqlalchemy import text

from orchestrator.__main__ import main
from orchestrator.calibration import BCTS, Fusion
from orchestrator.catalogue import find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.engine import Orchestrator, standard_workflows
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


def test_an_audit_event_says_what_the_decision_rested_on(ledger, local):
    outcome = asyncio.run(orchestrator(ledger, local, {"A": 0.95, "B": 0.03, "C": 0.02}).handle(Message(text="hello there")))
    ((_, event),) = ledger.events()
    classification = outcome.classification
    assert event["kind"] == "classified"
    assert event["probabilities"] == classification.probabilities.model_dump()
    assert (event["source"], event["calibrated"], event["degraded"]) == (classification.source, classification.calibrated, False)
    assert event["random_sample"] == in_random_sample(outcome.request_id)


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
