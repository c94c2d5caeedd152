import mlflow
import pytest
from support import evals

from evals.errors import EvalError
from evals.scored import read_outcomes
from evals.tracking import trace

GOOD = "classify-001_smollm2-135m"
FORGETFUL = "classify-002_smollm2-135m"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
def failing(tracked):
    """A row that the forgetful prompt gets wrong."""
    outcomes = read_outcomes(tracked.report(FORGETFUL, "outcomes.jsonl"))
    return next(row for row in outcomes if row.split == "gate" and row.classification.decision.category != row.label)


@pytest.fixture
def traced(tracked, at_store, failing, upstream, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", upstream)
    (made,) = trace(tracked, [failing.id], FORGETFUL)
    return mlflow.MlflowClient(at_store).get_trace(made)


def span(of, name):
    return next(one for one in of.data.spans if one.name == name)


def test_a_failing_message_leaves_a_span_a_step_and_decides_as_it_was_scored(traced, failing):
    assert [one.name for one in traced.data.spans] == ["classify", "render", "llm", "probabilities", "calibrate", "decide"]
    decision = failing.classification.decision
    assert span(traced, "decide").outputs == decision.model_dump(mode="json")
    assert span(traced, "calibrate").outputs["probabilities"] == pytest.approx(failing.classification.probabilities.model_dump())


def test_the_llm_span_has_what_was_asked_and_what_was_said(traced, failing):
    asked, said = span(traced, "llm").inputs, span(traced, "llm").outputs
    assert [turn["role"] for turn in asked["messages"]] == ["system", "user"]
    assert "FORGETFUL" in asked["messages"][0]["content"]
    assert asked["messages"][-1]["content"] == span(traced, "classify").inputs["message"]
    assert asked["temperature"] == 0.0
    assert said["usage"]["output_tokens"] == 5
    assert len(said["logprobs"]) == 3


def test_the_trace_is_found_by_its_tags_and_from_the_candidate_s_run(traced, failing, at_store):
    tags = traced.info.tags
    assert [tags["message"], tags["label"], tags["right"]] == [failing.id, failing.label.value, "false"]
    assert tags["decided"] == failing.classification.decision.category.value
    run = mlflow.MlflowClient(at_store).get_run(traced.info.trace_metadata["mlflow.sourceRun"])
    assert run.info.run_name == FORGETFUL


def test_a_call_that_fails_is_shown_as_a_failure(tracked, at_store, failing, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", NOBODY)
    (made,) = trace(tracked, [failing.id])
    found = mlflow.MlflowClient(at_store).get_trace(made)
    assert found.info.tags["candidate"] == GOOD  # the champion, where nobody is named
    assert span(found, "llm").status.status_code == "ERROR"
    assert span(found, "llm").outputs["failure"]["kind"] == "connection"
    assert span(found, "decide").inputs["degraded"]


def test_an_unknown_id_is_an_error_that_names_messages_the_candidate_gets_wrong(tracked, failing):
    with pytest.raises(EvalError, match=rf"no message m9999 was evaluated; {FORGETFUL} gets wrong: .*m\d+"):
        trace(tracked, ["m9999"], FORGETFUL)


def test_what_asks_no_llm_has_nothing_to_trace(tracked):
    with pytest.raises(EvalError, match="local-tfidf asks no LLM"):
        trace(tracked, ["m0008"], "local-tfidf")


def test_the_command_line_logs_and_traces(tracked, failing, upstream, monkeypatch, capsys):
    monkeypatch.setenv("LLM_BASE_URL", upstream)
    assert evals(tracked, "track", "--trace", failing.id, "--candidate", f"fused-{FORGETFUL}") == 0
    assert "traced 1 messages: tr-" in capsys.readouterr().out
    assert evals(tracked, "track", "--trace", "m9999") == 2
