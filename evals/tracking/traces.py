"""Run messages again through a candidate and record every step as MLflow traces, linked to the candidate's run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.champion import read_champion
from evals.data import Row
from evals.errors import EvalError
from evals.run import evaluated_rows
from evals.scored import read_outcomes
from evals.tracking.replayed import Replayed, replayed
from evals.tracking.runs import find_children
from evals.tracking.session import Session, opened
from evals.workspace import Workspace
from orchestrator.classify import judge
from orchestrator.connect import open_llm
from orchestrator.llm import LLM, Reply, Request, arguments
from orchestrator.probabilities import read_answer
from orchestrator.schema import Answer, Classification, Failure

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan

SHOWN = 8  # failing ids that an error names


def trace(workspace: Workspace, ids: Sequence[str], candidate: str | None = None) -> list[str]:
    """Ask about messages again and return the ids of the traces made, one a message; ``candidate`` is the released champion by default.

    Raises ``EvalError`` for an id that was not evaluated, naming some that the candidate gets wrong, for a candidate without an LLM,
    and where its run is not logged.
    """
    system = replayed(workspace, candidate)
    rows = _rows(workspace, system, ids, known_as_champion=candidate is None)
    with opened(workspace) as session:
        run = find_children(session, workspace).get(system.logged_as)
        if run is None:
            raise EvalError(f"{system.logged_as} has no run in MLflow: run `dvc repro`, then `python -m evals track`")
        return asyncio.run(_trace_all(session, system, rows, run))


async def _trace_all(session: Session, system: Replayed, rows: Sequence[Row], run: str) -> list[str]:
    import mlflow

    async with open_llm(system.model, os.environ) as llm:
        made = [await _trace_one(session, system, Traced(llm), row, run) for row in rows]
    mlflow.flush_trace_async_logging()
    for row, trace_id in zip(rows, made, strict=True):
        mlflow.log_expectation(trace_id=trace_id, name="label", value=row.label.value)
    return made


async def _trace_one(session: Session, system: Replayed, llm: LLM, row: Row, run: str) -> str:
    """Do what ``orchestrator.classify.Classifier`` does, each step in a span of its own."""
    import mlflow
    from mlflow.entities import SpanType
    from mlflow.entities.trace_location import MlflowExperimentLocation

    place = MlflowExperimentLocation(session.experiment)
    message = row.as_message()
    with mlflow.start_span("classify", SpanType.CHAIN, trace_destination=place, run_id=run) as root:
        root.set_inputs({"message": message.text, "channel": message.channel.value})
        with mlflow.start_span("render", SpanType.PARSER) as span:
            request = system.classifier.render(message)
            span.set_inputs({"prompt": system.classifier.prompt.id, "title": system.classifier.prompt.title})
            span.set_outputs({"turns": len(request.turns), "examples": (len(request.turns) - 2) // 2})
        reply = await llm(request)
        with mlflow.start_span("probabilities", SpanType.PARSER) as span:
            answer = read_answer(reply, system.classifier.prompt)
            span.set_outputs(answer.model_dump(mode="json", exclude_none=True))
        outcome = judge(message, answer, system.classifier.local, system.classifier.tuning, system.classifier.render.asked)
        _show_judgement(system, answer, outcome)
        decision = outcome.decision
        root.set_outputs(decision.model_dump(mode="json"))
        tags = {"message": row.id, "label": row.label.value, "decided": decision.category.value, "candidate": system.logged_as}
        mlflow.update_current_trace(
            tags=tags | {"right": str(decision.category == row.label).lower()},
            request_preview=message.text,
            response_preview=f"{decision.category.value} (label {row.label.value})",
        )
    return str(root.trace_id)


def _show_judgement(system: Replayed, answer: Answer, outcome: Classification) -> None:
    """Record what ``judge`` did, as two spans made after it: it is one pure function, so the spans tell values and not times."""
    import mlflow
    from mlflow.entities import SpanType

    tuning = system.classifier.tuning
    with mlflow.start_span("calibrate", SpanType.TASK) as span:
        raw = answer.probabilities
        span.set_inputs({"raw": raw and raw.model_dump(), "calibrator": tuning.calibrator.model_dump(mode="json")})
        span.set_outputs(
            {"probabilities": outcome.probabilities.model_dump(), "calibrated": outcome.calibrated, "why_not": outcome.uncalibrated}
        )
    with mlflow.start_span("decide", SpanType.TASK) as span:
        span.set_inputs(
            {
                "probabilities": outcome.probabilities.model_dump(),
                "thresholds": tuning.thresholds.model_dump(),
                "red_flags": outcome.red_flags,
                "local_safety": outcome.local_safety,
                "degraded": outcome.degraded,
            }
        )
        span.set_outputs(outcome.decision.model_dump(mode="json"))


@dataclass(frozen=True)
class Traced:
    """An LLM whose calls are recorded as spans: what was asked, with which parameters, and the reply or the failure."""

    llm: LLM

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Ask, and record it."""
        import mlflow
        from mlflow.entities import SpanType

        with mlflow.start_span("llm", SpanType.CHAT_MODEL) as span:
            span.set_inputs(arguments(request))
            reply = await self.llm(request)
            _show_reply(span, reply)
        return reply


def _show_reply(span: LiveSpan, reply: Reply | Failure) -> None:
    from mlflow.entities import SpanStatusCode
    from mlflow.tracing.constant import SpanAttributeKey

    if isinstance(reply, Failure):
        span.set_outputs({"failure": reply.model_dump(mode="json")})
        span.set_status(SpanStatusCode.ERROR)
        return
    usage = reply.usage
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    span.set_outputs(
        {
            "choices": [{"message": {"role": "assistant", "content": reply.text}}],
            "logprobs": [token.model_dump(mode="json") for token in reply.tokens],
            "usage": usage.model_dump(mode="json"),
        }
    )
    span.set_attribute(SpanAttributeKey.CHAT_USAGE, tokens | {"total_tokens": usage.input_tokens + usage.output_tokens})


def _rows(workspace: Workspace, system: Replayed, ids: Sequence[str], *, known_as_champion: bool) -> list[Row]:
    """Return the rows of ids; raise ``EvalError`` for one that was not evaluated."""
    rows = {row.id: row for row in evaluated_rows(workspace)}
    unknown = [name for name in ids if name not in rows]
    if not unknown:
        return [rows[name] for name in ids]
    outcomes = read_champion(workspace)[1] if known_as_champion else read_outcomes(workspace.report(system.logged_as, "outcomes.jsonl"))
    wrong = [row.id for row in outcomes or [] if row.classification.decision.category != row.label]
    some = f"{', '.join(wrong[:SHOWN])}{f' and {len(wrong) - SHOWN} more' if len(wrong) > SHOWN else ''}" if wrong else "none"
    raise EvalError(f"no message {', '.join(unknown)} was evaluated; {system.logged_as} gets wrong: {some}")
