"""The verb that asks a model about rows."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from evals.batch import cancel_batches, run_batch
from evals.budget import Budgeted, worst_usd
from evals.cache import Cached, ReplyCache
from evals.data import Row, Split, load_examples, load_split
from evals.errors import EvalError
from evals.pace import Paced, Timed
from evals.workspace import Candidate, Workspace, write_json
from orchestrator.catalogue import Model, find_model
from orchestrator.connect import open_batch_api, open_chat
from orchestrator.llm import LLM, Reply, Request
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.retrying import Retrying
from orchestrator.schema import Answer, Failure, FailureKind

CacheUse = Literal["use", "only", "refresh"]
ATTEMPTS = 5  # under a rate limit a request may lose its turn a few times before the pace is found
DEADLINE_S = 600.0  # of one request, its waits and retries included: room for a few pauses of a minute that a server asks for
MISSING = Failure(kind=FailureKind.CONNECTION, detail="not in the reply cache")


def do_run(workspace: Workspace, options: argparse.Namespace) -> int:
    """Ask a candidate about every row, once or several times."""
    from evals.repeats import in_words, summarise
    from evals.run import AnswerRow, evaluated_rows, run, write_answers

    prompt = load_prompt(workspace.prompts / f"{options.prompt}.yaml")
    model = known_model(options.model)
    candidate = Candidate(prompt.id, model.id).id
    render = Renderer(prompt, model, load_examples(workspace.datasets))
    rows = load_split(workspace.datasets, Split.DEV) if options.dev else evaluated_rows(workspace)

    if options.cancel:
        return asyncio.run(_cancel(workspace, model, rows, render))
    if options.batch:
        asyncio.run(_batch(workspace, model, [render(row.as_message()) for row in rows], options))

    async def ask_all() -> tuple[list[list[AnswerRow]], int]:
        repeats, hits = [], 0
        async with cached_llm(workspace, model, use=options.cache, max_usd=options.max_usd) as first:
            for number in range(options.repeats):
                llm = first.repeat(number)
                title = candidate if options.repeats == 1 else f"{candidate}, repeat {number + 1} of {options.repeats}"
                repeats.append(await run(rows, prompt, render, llm, concurrency=rows_at_once(workspace, model), title=title))
                hits += llm.hits
        return repeats, hits

    repeats, hits = asyncio.run(ask_all())
    answers = [[row.answer for row in repeat] for repeat in repeats]
    _refuse_missing(rows, answers, candidate)
    if not options.dev:
        write_answers(workspace, candidate, repeats[0])
    print(f"{candidate}: {_accuracy(rows, answers[0])}, {hits} from the cache, {_times(answers)}")
    if options.repeats > 1:
        report = summarise(rows, [[answer.probabilities.top if answer.probabilities else None for answer in repeat] for repeat in answers])
        if not options.dev:
            write_json(workspace.report(candidate, "repeats.json"), report)
        print("\n".join(in_words(report)))
    return 0


async def _batch(workspace: Workspace, model: Model, requests: Sequence[Request], options: argparse.Namespace) -> None:
    """Fill the reply cache through the batch API; what it leaves is asked live by the run that follows."""
    if options.repeats > 1 or options.cache != "use":
        raise EvalError("--batch fills the cache with one reply a row: it goes with neither --repeats nor --cache")
    async with open_batch_api(model, os.environ) as api:
        with ReplyCache(workspace.reply_cache) as cache:
            wanted = [request for request in requests if cache.get(request.key()) is None]
            worst = sum(worst_usd(request, model) for request in wanted) * (model.batch_price or 1.0)
            if options.max_usd is not None and worst > options.max_usd:
                raise EvalError(f"the batch may cost up to USD {worst:.4f}, above the cap of {options.max_usd:g}: raise --max-usd")
            await run_batch(requests, cache, api, _batches(workspace))


async def _cancel(workspace: Workspace, model: Model, rows: Sequence[Row], render: Renderer) -> int:
    async with open_batch_api(model, os.environ) as api:
        cancelled = await cancel_batches([render(row.as_message()) for row in rows], api, _batches(workspace))
    print(f"{cancelled} batches are being cancelled")
    return 0


def _batches(workspace: Workspace) -> Path:
    return workspace.reply_cache.with_name("batches")


@asynccontextmanager
async def cached_llm(workspace: Workspace, model: Model, *, use: CacheUse = "use", max_usd: float | None = None) -> AsyncIterator[Cached]:
    """Yield the model's LLM behind the reply cache; it is opened when the first reply is missing, not before."""
    async with AsyncExitStack() as stack:
        replies = stack.enter_context(ReplyCache(workspace.reply_cache))
        if use == "only":
            yield Cached(_nobody, replies)
            return
        most = concurrency(workspace, model)
        llm = paid(_opened_late(stack, model, connections=most), model, most=most, max_usd=max_usd)
        yield Cached(llm, replies, refresh=use == "refresh")


def paid(llm: LLM, model: Model, *, most: int, max_usd: float | None = None) -> LLM:
    """Put what a bare LLM needs around it; the cache comes around that.

    The order, outermost first, and its reason:

    - ``Cached``: what is stored, or asked already by an equal request, costs neither time nor money, so it passes none of the others.
    - ``Timed``: outside all waiting, so that it sees it all.
    - ``Retrying``: the one retry layer. Each attempt passes the two below anew, for each may cost and each takes a turn.
    - ``Paced``: it sees every attempt and every 429.
    - ``Budgeted``: next to the server, so that money is reserved only while a call is under way, not while it waits for its turn.
    """
    if max_usd is not None:
        llm = Budgeted(llm, model, max_usd=max_usd)
    return Timed(Retrying(Paced(llm, most=most), attempts=ATTEMPTS, deadline_s=DEADLINE_S))


def concurrency(workspace: Workspace, model: Model) -> int:
    """Return how many requests to have under way at most: one for the server in this process, so that latency is not queueing."""
    in_process = model.provider == "embedded" and "LLM_BASE_URL" not in os.environ
    return 1 if in_process else workspace.params().concurrency


def rows_at_once(workspace: Workspace, model: Model) -> int:
    """Return how many rows to work on at once: so many that the next requests are ready when the pace lets them go."""
    return 2 * concurrency(workspace, model)


def known_model(name: str) -> Model:
    """Return a model of the catalogue and warn of its end; raise ``CatalogueError`` with the known ones for another name."""
    model = find_model(name)
    if warning := model.shutdown_warning(dt.datetime.now().astimezone().date()):
        print(f"warning: {warning}", file=sys.stderr)
    return model


async def _nobody(_: Request, /) -> Reply | Failure:
    return MISSING


def _opened_late(stack: AsyncExitStack, model: Model, *, connections: int) -> LLM:
    opening = asyncio.Lock()
    opened: list[LLM] = []

    async def ask(request: Request, /) -> Reply | Failure:
        if not opened:
            async with opening:
                if not opened:
                    opened.append(await stack.enter_async_context(open_chat(model, os.environ, connections=connections)))
        return await opened[0](request)

    return ask


def _refuse_missing(rows: Sequence[Row], answers: Sequence[Sequence[Answer]], candidate: str) -> None:
    missing = sum(any(repeat[i].failure == MISSING for repeat in answers) for i in range(len(rows)))
    if missing:
        raise EvalError(
            f"{candidate}: {missing} of {len(rows)} rows have no reply in the cache, and --cache only asks nobody; nothing was written. "
            "Run the same command without --cache only to ask the model about them"
        )


def _accuracy(rows: Sequence[Row], answers: Sequence[Answer]) -> str:
    failed = Counter(answer.failure.kind.value for answer in answers if answer.failure)
    right = sum(
        answer.probabilities is not None and answer.probabilities.top == row.label for answer, row in zip(answers, rows, strict=True)
    )
    return f"{len(rows)} rows, raw accuracy {right / len(rows):.3f}, failures {dict(failed) or 0}"


def _times(answers: Sequence[Sequence[Answer]]) -> str:
    usages = [answer.usage for repeat in answers for answer in repeat if answer.failure is None]
    waited = [usage.queue_s for usage in usages if usage.queue_s]  # a reply from the cache has not waited
    return f"service time {_percentiles([usage.latency_s for usage in usages])}, queue time {_percentiles(waited)}"


def _percentiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    p50, p95 = np.percentile(seconds, [50, 95])
    return f"p50 {p50:.3f} s p95 {p95:.3f} s"
