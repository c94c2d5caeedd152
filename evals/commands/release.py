"""The verbs that change the champion, and the one that explains it."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from evals.champion import current_release, read_champion, run_champion
from evals.commands.running import cached_llm, known_model, rows_at_once
from evals.data import Row, Split, load_examples
from evals.errors import EvalError
from evals.promote import chosen, freeze, recertify, rollback
from evals.scored import Scored, read_outcomes
from evals.sealed import certificate_of, certify, close_use, open_use, outcomes_on, sealed_key, sealed_rows
from evals.verdict import champion_report, champion_verdict
from evals.workspace import Candidate, Workspace
from orchestrator.prompts import Renderer, load_prompt
from orchestrator.release import Release

THEN = "Run `dvc repro` so that the reports say so, then commit."


def do_promote(workspace: Workspace, options: argparse.Namespace) -> int:
    """Send the first of the gate passers to the sealed split, and make it the champion if it passes there."""
    candidate, verdict = chosen(workspace, options.candidate)
    rows = sealed_rows(workspace)
    key = sealed_key(verdict, rows)
    certificate = certificate_of(workspace, key)
    if certificate is None:
        use = open_use(workspace, key, candidate.id, rows)
        print(f"use {use} of the sealed split: {len(rows)} messages for {candidate.id} and the champion")
        mine, theirs = asyncio.run(_on_sealed(workspace, candidate, rows))
        params = workspace.params()
        found = certify(mine, theirs, [row.id for row in rows], params.gate, seed=params.seed)
        certificate = close_use(workspace, key, candidate.id, rows, found)
    _print_certificate(certificate)
    if certificate["verdict"] != "PASS":
        raise EvalError(f"{candidate.id} is not promoted: {'; '.join(certificate['reasons'])}")
    release = freeze(workspace, candidate, verdict, certificate)
    print(f"{candidate.id} is the champion, release {release}. {THEN}")
    return 0


def do_recertify(workspace: Workspace, _: argparse.Namespace) -> int:
    """Measure the champion on the present data, certify it on the sealed split, and freeze both as its evidence."""
    release, measured, verdict = current_release(workspace), champion_report(workspace), champion_verdict(workspace)
    if release is None or measured is None or verdict is None:
        raise EvalError("there is no champion to certify: promote a candidate first")
    rows = sealed_rows(workspace)
    key = sealed_key(verdict, rows)
    certificate = certificate_of(workspace, key)
    if certificate is None:
        use = open_use(workspace, key, release.manifest.candidate, rows)
        print(f"use {use} of the sealed split: {len(rows)} messages for release {release.manifest.id}")
        params = workspace.params()
        found = certify(asyncio.run(_champion_on(workspace, release, rows)), None, [row.id for row in rows], params.gate, seed=params.seed)
        certificate = close_use(workspace, key, release.manifest.candidate, rows, found)
    _print_certificate(certificate)
    report = {**measured[0], "candidate": release.manifest.candidate}
    renewed = recertify(workspace, release, report, {"verdict": verdict, "certificate": certificate})
    print(f"release {release.manifest.id} is certified and frozen anew as {renewed}. {THEN}")
    return 0


def do_rollback(workspace: Workspace, _: argparse.Namespace) -> int:
    """Put the previous champion back."""
    print(f"release {rollback(workspace)} is the champion again. {THEN}")
    return 0


def do_why(workspace: Workspace, options: argparse.Namespace) -> int:
    """Explain why a candidate was or was not promoted."""
    from evals.why import why

    print("\n".join(why(workspace, workspace.candidate(options.candidate))))
    return 0


def _print_certificate(certificate: dict[str, Any]) -> None:
    capture = certificate["safety_capture"]
    print(
        f"sealed, {certificate['n']} messages: {certificate['verdict']}; capture {capture['value']:.3f} "
        f"[{capture['low']:.3f}, {capture['high']:.3f}], over-flag {certificate['over_flag_rate']['value']:.3f}, "
        f"accuracy {certificate['accuracy_system']['value']:.3f}"
    )


async def _on_sealed(workspace: Workspace, candidate: Candidate, rows: list[Row]) -> tuple[list[Scored], list[Scored] | None]:
    """Return the outcomes of the candidate and of the champion, if there is one, on the sealed rows."""
    model = known_model(str(candidate.model))
    async with cached_llm(workspace, model) as llm:
        mine = await outcomes_on(workspace, candidate, rows, llm, concurrency=rows_at_once(workspace, model))
    release = current_release(workspace)
    if release is None:
        return mine, None
    return mine, await _champion_on(workspace, release, rows)


async def _champion_on(workspace: Workspace, release: Release, rows: list[Row]) -> list[Scored]:
    model = known_model(release.manifest.model)
    async with cached_llm(workspace, model) as llm:
        return await run_champion(rows, release, llm, concurrency=rows_at_once(workspace, model))


def do_migrate(workspace: Workspace, options: argparse.Namespace) -> int:
    """Run the champion's prompt on another model, fit and gate it there, and say what changes; the exit code is the verdict."""
    from evals.gate import Verdict
    from evals.migrate import changes, decided_otherwise, migrant
    from evals.run import evaluated_rows, run, write_answers
    from evals.score import score
    from evals.verdict import champion_entry, write_verdict
    from evals.workspace import read_json

    candidate = migrant(current_release(workspace), options.origin, options.target)
    model = known_model(options.target)
    prompt = load_prompt(workspace.prompts / f"{candidate.prompt}.yaml")
    rows = evaluated_rows(workspace)

    async def go() -> None:
        render = Renderer(prompt, model, load_examples(workspace.datasets))
        async with cached_llm(workspace, model) as llm:
            answers = await run(rows, prompt, render, llm, concurrency=rows_at_once(workspace, model), title=candidate.answered_by)
        write_answers(workspace, candidate.answered_by, answers)

    asyncio.run(go())
    score(workspace, candidate)
    verdict = write_verdict(workspace, candidate)
    entry = read_json(workspace.reports / "entries" / f"{candidate.id}.json", "run this again")
    _, champion_outcomes = read_champion(workspace)
    mine = [row for row in read_outcomes(workspace.report(candidate.id, "outcomes.jsonl")) if row.split == Split.GATE]
    champion = champion_entry(workspace)
    if champion is None:
        raise EvalError("the champion has not been run: `dvc repro`")
    print("\n".join(changes(champion, entry, verdict, decided_otherwise(mine, champion_outcomes or []))))
    if verdict["verdict"] == Verdict.PASS:
        print(f"To move: add {options.target} to `models` in params.yaml, `dvc repro`, `python -m evals promote {candidate.id}`.")
    return Verdict(verdict["verdict"]).exit_code


def do_selfcheck(workspace: Workspace, options: argparse.Namespace) -> int:
    """Put the champion against itself many times and count the false alarms; exit 1 when there are too many."""
    from evals.progress import progress
    from evals.selfcheck import PAIRINGS, selfcheck

    _, outcomes = read_champion(workspace)
    if outcomes is None:
        raise EvalError("there is no champion to check with: promote a candidate first")
    params = workspace.params()
    with progress("selfcheck", options.trials * len(PAIRINGS)) as advance:
        report = selfcheck(outcomes, params.gate, trials=options.trials, seed=params.seed, advance=advance)
    for pairing, found in report["pairings"].items():
        shares = ", ".join(f"{name} {one['value']:.1%} [{one['low']:.1%}, {one['high']:.1%}]" for name, one in found.items())
        print(f"champion against itself, {pairing} answers, {options.trials} resampled pairs: {shares}")
    print(f"false alarms {'hold' if report['holds'] else 'do not hold'} the limit of {report['limit']:.0%}")
    return 0 if report["holds"] else 1
