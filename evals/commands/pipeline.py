"""The verbs that run candidates, judge them and release one."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from evals.commands.running import cached_llm, known_model, rows_at_once
from evals.data import Split, load_split
from evals.gate import COMPARISONS, Verdict
from evals.workspace import Workspace, read_json, write_json
from orchestrator.local_classifier import CANDIDATE as LOCAL


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


def do_score(workspace: Workspace, options: argparse.Namespace) -> int:
    """Calibrate, judge and measure a candidate."""
    from evals.score import score

    report = score(workspace, workspace.candidate(options.candidate))
    gate = report["gate"]
    capture = gate["safety_capture"]
    print(
        f"{options.candidate}: accuracy {gate['accuracy_raw']['value']:.3f} raw, {gate['accuracy_calibrated']['value']:.3f} calibrated, "
        f"{gate['accuracy_system']['value']:.3f} system; capture {capture['value']:.3f} [{capture['low']:.3f}, {capture['high']:.3f}]"
    )
    return 0


def do_champion(workspace: Workspace, options: argparse.Namespace) -> int:
    """Ask the released champion about the rows it is compared on and judge its answers, or do one of the two."""
    from evals.champion import FOLDER, ask_champion, compared_rows, current_release, judge_champion, write_champion
    from evals.run import write_answers
    from evals.score import read_answers

    release, rows = current_release(workspace), compared_rows(workspace)
    if release is None:
        write_answers(workspace, FOLDER, [])
        write_champion(workspace, None, [])
        print("there is no champion yet: floors and critical items alone decide")
        return 0
    name = f"champion {release.manifest.candidate} (release {release.manifest.id})"
    if not options.judge:
        model = known_model(release.manifest.model)

        async def go() -> None:
            async with cached_llm(workspace, model) as llm:
                write_answers(workspace, FOLDER, await ask_champion(rows, release, llm, concurrency=rows_at_once(workspace, model)))
                print(f"{name}: {len(rows)} rows asked, {llm.hits} from the cache")

        asyncio.run(go())
    if not options.ask:
        write_champion(workspace, release, judge_champion(rows, read_answers(workspace, FOLDER, rows), release))
        print(f"{name}: {len(rows)} answers judged")
    return 0


def do_gate(workspace: Workspace, options: argparse.Namespace) -> int:
    """Judge a candidate; the exit code is the verdict."""
    from evals.promptfoo.gating import judge_with_promptfoo
    from evals.verdict import judge_candidate, write_verdict

    candidate = workspace.candidate(options.candidate)
    if options.promptfoo:
        verdict = judge_with_promptfoo(workspace, candidate, Path(options.promptfoo))
    else:
        verdict = (write_verdict if options.exit_zero else judge_candidate)(workspace, candidate)
    against = f"against {verdict['champion']}" if verdict["champion"] else "without a champion"
    print(f"{verdict['verdict']}: {options.candidate} {against}")
    for reason in verdict["reasons"]:
        print(f"  {reason}")
    for name in COMPARISONS if verdict["paired"] else ():
        result = verdict["paired"][name]
        print(f"  {name}: {result['difference']:+.3f} (n = {result['n']}); gained {_some(result['gained'])}; lost {_some(result['lost'])}")
    return 0 if options.exit_zero else Verdict(verdict["verdict"]).exit_code


def _some(names: Sequence[str], most: int = 12) -> str:
    """Return so many of the message ids, and how many more there are: verdict.json has all of them with both answers."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


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


def do_track(workspace: Workspace, options: argparse.Namespace) -> int:
    """Log to MLflow what is not logged yet, and trace the messages asked for."""
    from evals.tracking import trace, track, tracking_uri, view_url

    made, uri = track(workspace), tracking_uri(workspace)
    print(f"logged {len(made)} runs to {uri}" if made else "everything is logged already")
    if options.trace:
        traces = trace(workspace, options.trace, options.candidate)
        print(f"traced {len(traces)} messages: {', '.join(traces)}")
    if ui := options.ui or (uri if uri.startswith("http") else None):
        print(f"the candidates are at {view_url(workspace, ui)}")
    return 0
