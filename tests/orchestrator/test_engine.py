import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text
from support import require_service

from orchestrator.calibration import Calibrator
from orchestrator.catalogue import find_model
from orchestrator.classify import Classifier, Tuning
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.local_classifier import LocalClassifier
from orchestrator.policy import Thresholds
from orchestrator.prompts import Prompt, Renderer
from orchestrator.schema import CATEGORIES, Category, FailureKind, Message, Source
from orchestrator.store.ledger import Ledger
from orchestrator.testing import FaultyLLM, ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders

PROMPT = Prompt(id="classify-001", title="t", system="s", codes=dict(zip(CATEGORIES, "ABC", strict=True)), max_tokens=16, sha256="0" * 64)


def calibrator(source: Source, **changes) -> Calibrator:
    return Calibrator(kind="bcts", temperature=1.0, candidate="c", source=source, n=200, **changes)


TUNING = Tuning(
    calibrator=calibrator(Source.LOGPROB),
    local_calibrator=calibrator(Source.LOCAL),
    thresholds=Thresholds(safety=0.4, local=0.99, degraded=0.3),
)


@pytest.fixture(scope="module")
def local(root) -> LocalClassifier:
    return LocalClassifier.load(root / "reports" / "local-tfidf" / "classifier.json")


def classifier(llm, local, tuning=TUNING) -> Classifier:
    return Classifier(prompt=PROMPT, render=Renderer(PROMPT, find_model("smollm2-135m"), []), llm=llm, local=local, tuning=tuning)


@pytest.fixture
def sqlite(tmp_path):
    ledger = Ledger.at(f"sqlite:///{tmp_path}/deep/ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def postgres():
    require_service("PostgreSQL", "127.0.0.1", 5432)
    name = f"orchestrator_{uuid.uuid4().hex[:12]}"
    admin = create_engine("postgresql+psycopg://postgres@127.0.0.1:5432/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    ledger = Ledger.at(f"postgresql+psycopg://postgres@127.0.0.1:5432/{name}")
    yield ledger
    ledger.close()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request) -> Ledger:
    return request.getfixturevalue(request.param)


def orchestrator(ledger, local, shares) -> Orchestrator:
    return Orchestrator("test", classifier(ScriptedLLM(lambda _: shares), local), standard_workflows(LocalOrders({})), ledger)


def rows(ledger, table):
    with ledger._engine.connect() as connection:
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
    with ledger._engine.begin() as connection:
        connection.execute(text(tampering))
    assert ledger.verify()


def test_when_the_llm_is_down_the_answer_is_degraded_not_missing(sqlite, local):
    subject = Orchestrator("test", classifier(FaultyLLM(FailureKind.TIMEOUT), local), standard_workflows(LocalOrders({})), sqlite)
    outcome = asyncio.run(subject.handle(Message(text="my throat is closing up after the new tablets")))
    assert outcome.classification.degraded
    assert outcome.classification.failure.kind == FailureKind.TIMEOUT
    assert outcome.classification.decision.category == Category.SAFETY_COMPLIANCE
    assert outcome.classification.source == Source.LOCAL


def test_a_calibrator_for_another_source_is_not_used(local):
    foreign = TUNING.model_copy(update={"calibrator": calibrator(Source.VERBALIZED, bias=(5.0, 0.0, 0.0))})
    shares = {"A": 0.3, "B": 0.3, "C": 0.4}
    result = asyncio.run(classifier(ScriptedLLM(lambda _: shares), local, foreign)(Message(text="hello")))
    assert not result.calibrated
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
