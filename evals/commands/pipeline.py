"""The verbs that run candidates, judge them and release one."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evals.cache import Cached, ReplyCache
from evals.data import Split, load_examples, load_split
from evals.errors import EvalError
from evals.gate import Verdict
from evals.workspace import Workspace, candidate_id, read_json, write_json
from orchestrator.catalogue import Model, find_model
from orchestrator.llm import LLM, Reply, Request
from orchestrator.local_classifier import CANDIDATE as LOCAL
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.schema import Failure


def do_local(workspace: Workspace, _: argparse.Namespace) -> int:
    """Train the local classifier and let it answer every row."""
    from evals.local import answer_rows, train
    from evals.run import evaluated_rows, write_answers
    from orchestrator.local_classifier import LocalClassifier

    parameters = train(load_split(workspace.datasets, Split.DEV), workspace.params().seed)
    write_json(workspace.classifier, parameters)
    rows = evaluated_rows(workspace)
    write_answers(workspace, LOCAL, answer_rows(rows, LocalClassifier.load(workspace.classifier)))
    print(f"trained on {parameters['trained_on']} dev rows, C = {parameters['strength']}; answered {len(rows)} rows")
    return 0


def do_run(workspace: Workspace, options: argparse.Namespace) -> int:
    """Ask a candidate about every row."""
    from evals.run import evaluated_rows, run, write_answers

    prompt = load_prompt(workspace.prompts / f"{options.prompt}.yaml")
    model = _known_model(options.model)
    candidate = candidate_id(prompt.id, model.id)
    render = Renderer(prompt, model, load_examples(workspace.datasets))
    rows = load_split(workspace.datasets, Split.DEV) if options.dev else evaluated_rows(workspace)

    async def go() -> None:
        async with _cached_llm(workspace, model) as llm:
            answers = await run(rows, prompt, render, llm, concurrency=_concurrency(workspace, model), title=candidate)
        failed = Counter(a.answer.failure.kind.value for a in answers if a.answer.failure)
        right = sum(
            a.answer.probabilities is not None and a.answer.probabilities.top == r.label for a, r in zip(answers, rows, strict=True)
        )
        if not options.dev:
            write_answers(workspace, candidate, answers)
        print(
            f"{candidate}: {len(rows)} rows, raw accuracy {right / len(rows):.3f}, {llm.hits} from the cache, failures {dict(failed) or 0}"
        )

    asyncio.run(go())
    return 0


def do_score(workspace: Workspace, options: argparse.Namespace) -> int:
    """Calibrate, judge and measure a candidate."""
    from evals.score import score

    if options.candidate == LOCAL:
        report = score(workspace, LOCAL, None, None)
    else:
        report = score(workspace, options.candidate, *_parts(workspace, options.candidate))
    gate = report["gate"]
    capture = gate["safety_capture"]
    print(
        f"{options.candidate}: accuracy {gate['accuracy_raw']['value']:.3f} raw, {gate['accuracy_calibrated']['value']:.3f} calibrated, "
        f"{gate['accuracy_system']['value']:.3f} system; capture {capture['value']:.3f} [{capture['low']:.3f}, {capture['high']:.3f}]"
    )
    return 0


def do_champion(workspace: Workspace, _: argparse.Namespace) -> int:
    """Run the released champion on the rows it is compared on."""
    from evals.champion import current_release, run_champion, write_champion

    release = current_release(workspace)
    if release is None:
        write_champion(workspace, None, [])
        print("there is no champion yet: floors and critical items alone decide")
        return 0
    model = _known_model(release.manifest.model)

    async def go() -> None:
        async with _cached_llm(workspace, model) as llm:
            outcomes = await run_champion(workspace, release, llm, concurrency=_concurrency(workspace, model))
        write_champion(workspace, release, outcomes)
        print(f"champion {release.manifest.candidate} (release {release.manifest.id}): {len(outcomes)} rows, {llm.hits} from the cache")

    asyncio.run(go())
    return 0


def do_gate(workspace: Workspace, options: argparse.Namespace) -> int:
    """Judge a candidate; the exit code is the verdict."""
    from evals.verdict import judge_candidate, write_verdict

    _parts(workspace, options.candidate)
    verdict = (write_verdict if options.exit_zero else judge_candidate)(workspace, options.candidate)
    against = f"against {verdict['champion']}" if verdict["champion"] else "without a champion"
    print(f"{verdict['verdict']}: {options.candidate} {against}")
    for reason in verdict["reasons"]:
        print(f"  {reason}")
    for name, result in (verdict["paired"] or {}).items():
        gained, lost = ", ".join(result["gained"]) or "none", ", ".join(result["lost"]) or "none"
        print(f"  {name}: {result['difference']:+.3f} (n = {result['n']}); gained {gained}; lost {lost}")
    return 0 if options.exit_zero else Verdict(verdict["verdict"]).exit_code


def do_compare(workspace: Workspace, _: argparse.Namespace) -> int:
    """Write the leaderboard."""
    from evals.compare import compare

    board = compare(workspace)
    print(f"leaderboard of {len(board['candidates'])} candidates written to reports/leaderboard.md")
    return 0


def do_leaderboard(workspace: Workspace, _: argparse.Namespace) -> int:
    """Print the leaderboard."""
    from evals.terminal import print_leaderboard

    print_leaderboard(read_json(workspace.reports / "leaderboard.json", "run `make repro`"))
    return 0


def do_promote(workspace: Workspace, options: argparse.Namespace) -> int:
    """Make a gate passer the champion."""
    from evals.promote import promote

    _parts(workspace, options.candidate)
    release = promote(workspace, options.candidate)
    print(f"{options.candidate} is the champion, release {release}. Run `dvc repro` so that the reports say so, then commit.")
    return 0


def do_rollback(workspace: Workspace, _: argparse.Namespace) -> int:
    """Put the previous champion back."""
    from evals.promote import rollback

    print(f"release {rollback(workspace)} is the champion again. Run `dvc repro` so that the reports say so, then commit.")
    return 0


def do_track(workspace: Workspace, _: argparse.Namespace) -> int:
    """Log to MLflow what is not logged yet."""
    from evals.tracking import track, tracking_uri

    made = track(workspace)
    print(f"logged {len(made)} runs to {tracking_uri(workspace)}" if made else "everything is logged already")
    return 0


def _parts(workspace: Workspace, candidate: str) -> tuple[str | None, str | None]:
    """Return a candidate's prompt and model; raise ``EvalError`` with the known ids for another."""
    params = workspace.params()
    pairs: dict[str, tuple[str | None, str | None]] = {candidate_id(p, m): (p, m) for p in params.prompts for m in params.models}
    pairs[LOCAL] = (None, None)
    if candidate not in pairs:
        raise EvalError(f"unknown candidate {candidate!r}; known: {', '.join(pairs)} (params.yaml)")
    return pairs[candidate]


def _known_model(name: str) -> Model:
    model = find_model(name)
    if warning := model.shutdown_warning(dt.datetime.now().astimezone().date()):
        print(f"warning: {warning}", file=sys.stderr)
    return model


def _concurrency(workspace: Workspace, model: Model) -> int:
    """How many requests to have under way: one for the server in this process, so that latency is not queueing."""
    in_process = model.provider == "embedded" and "LLM_BASE_URL" not in os.environ
    return 1 if in_process else workspace.params().concurrency


@asynccontextmanager
async def _cached_llm(workspace: Workspace, model: Model) -> AsyncIterator[Cached]:
    """Yield the model's LLM behind the reply cache; it is opened when the first reply is missing, not before."""
    from contextlib import AsyncExitStack

    from orchestrator.connect import open_llm

    async with AsyncExitStack() as stack:
        opening = asyncio.Lock()
        opened: list[LLM] = []

        async def lazily(request: Request, /) -> Reply | Failure:
            async with opening:
                if not opened:
                    connecting = open_llm(model, os.environ, connections=_concurrency(workspace, model))
                    opened.append(await stack.enter_async_context(connecting))
            return await opened[0](request)

        yield Cached(lazily, stack.enter_context(ReplyCache(workspace.reply_cache)))
