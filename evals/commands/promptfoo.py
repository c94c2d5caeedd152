"""The verbs of ``python -m evals promptfoo``: the suites through another runner, and its results back."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from evals.commands.running import concurrency, known_model
from evals.errors import EvalError
from evals.promptfoo.cases import Suite, all_cases, chosen
from evals.promptfoo.config import configuration, write_configuration
from evals.promptfoo.install import FOLDER, PROMPTFOO, install
from evals.promptfoo.invoke import invoke, view
from evals.promptfoo.subject import Subject, find_subject
from evals.workspace import Workspace

PORT = 15500  # promptfoo's own
NO_CACHE = ("--no-cache",)  # its cache knows a case by its id, not by what stands in the row
ATTACKER = "openai:chat:gpt-4o-mini"
SHOWN = 5


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def verb(name: str, run: object, help_: str, *names: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_, description=help_)
        for argument in names:
            added.add_argument(argument)
        added.set_defaults(run=run)
        return added

    verb("install", do_install, f"put promptfoo {PROMPTFOO} into {FOLDER}, and a Node where the system's is too old")
    for name, run, help_ in (
        ("config", do_config, "write the configuration that promptfoo reads, without running it"),
        ("run", do_run, "put the cases to a candidate (or to `champion`) through promptfoo"),
    ):
        choosing = verb(name, run, help_, "candidate")
        choosing.add_argument("--suites", nargs="+", choices=[suite.value for suite in Suite], default=[], help="which (default: all)")
        choosing.add_argument("--cases", nargs="+", default=[], metavar="ID", help="only these, such as m0901.slang")
    importing = verb(
        "import", do_import, "turn promptfoo's results into outcomes, compare them with the runner's, log them to MLflow", "file"
    )
    importing.add_argument("--output", metavar="FILE", help=f"where the outcomes go (default: {FOLDER}/CANDIDATE.outcomes.jsonl)")
    importing.add_argument("--no-track", action="store_true", help="do not log to MLflow")
    viewing = verb("view", do_view, "open promptfoo's page on the results")
    viewing.add_argument("--port", type=int, default=PORT, help="(default: %(default)s)")
    attacking = verb(
        "redteam", do_redteam, "let a model invent attacks by promptfoo's red-teaming, and put them to a candidate", "candidate"
    )
    attacking.add_argument("--attacker", default=ATTACKER, metavar="PROVIDER", help="who invents them (default: %(default)s)")
    attacking.add_argument("--tests", type=int, default=5, metavar="N", help="attacks for each policy (default: %(default)s)")


def do_install(workspace: Workspace, _: argparse.Namespace) -> int:
    """Install what is missing."""
    folder = workspace.root / FOLDER
    print(f"promptfoo {PROMPTFOO} {'installed in' if install(folder) else 'is there already:'} {folder}")
    return 0


def do_config(workspace: Workspace, options: argparse.Namespace) -> int:
    """Write the configuration."""
    subject = find_subject(workspace, options.candidate)
    print(f"{_write_config(workspace, subject, options)} written")
    return 0


def do_run(workspace: Workspace, options: argparse.Namespace) -> int:
    """Write the configuration and run promptfoo on it."""
    subject = find_subject(workspace, options.candidate)
    results = _file(workspace, subject, "json")
    _evaluate(workspace, subject, _write_config(workspace, subject, options), results)
    print(f"{results} written; now `python -m evals promptfoo import {results}`")
    return 0


def do_import(workspace: Workspace, options: argparse.Namespace) -> int:
    """Write the outcomes, print the figures, log them."""
    from evals.promptfoo.agreement import agreement, promptfoo_summary
    from evals.promptfoo.results import read_results
    from evals.scored import read_outcomes, write_outcomes

    path = Path(options.file)
    imported = read_results(workspace, path)
    output = Path(options.output) if options.output else workspace.root / FOLDER / f"{imported.subject}.outcomes.jsonl"
    write_outcomes(output, imported.outcomes)
    compared = agreement(imported.outcomes, read_outcomes(workspace.report(imported.subject, "outcomes.jsonl")))
    print(f"{imported.subject}: promptfoo {imported.version}, {imported.cases} cases in {imported.wall_s:.0f} s; outcomes in {output}")
    for suite, passed in imported.passed.items():
        failed = [name for name, right in passed.items() if not right]
        print(f"  {suite.value}: {len(passed) - len(failed)} of {len(passed)} passed" + _some(failed))
    alike = compared.compared - len(compared.differing)
    largest = f"largest difference of a probability {compared.largest:.2g}"
    print(f"  the runner answers {alike} of {compared.compared} alike{_some(compared.differing)}; {largest}")
    if not options.no_track:
        from evals.tracking import log_promptfoo

        logged = log_promptfoo(workspace, imported.subject, promptfoo_summary(imported, compared), path)
        print("  logged to MLflow" if logged else "  logged to MLflow already")
    return 0


def do_view(workspace: Workspace, options: argparse.Namespace) -> int:
    """Become promptfoo's web page."""
    view(workspace.root / FOLDER, options.port)


def do_redteam(workspace: Workspace, options: argparse.Namespace) -> int:
    """Generate attacks, then run them; both ask models, the first of them the attacker."""
    from evals.promptfoo.redteam import generation, take_invented, trial

    subject = find_subject(workspace, options.candidate)
    if options.attacker.startswith("openai:") and not os.environ.get("OPENAI_API_KEY"):
        raise EvalError(
            f"{options.attacker} invents the attacks and needs OPENAI_API_KEY, which is not set. Set it (and OPENAI_BASE_URL "
            "for another server), or stay with what runs offline: `python -m evals promptfoo run CANDIDATE --suites injection redteam`"
        )
    folder = workspace.root / FOLDER
    config, generated, invented, results = (
        _file(workspace, subject, ending) for ending in ("redteam.yaml", "generated.yaml", "invented.jsonl", "redteam.json")
    )
    write_configuration(config, generation(workspace, subject.id, attacker=options.attacker, tests=options.tests))
    generate = ["redteam", "generate", "--config", str(config), "--output", str(generated), "--force", "--no-progress-bar"]
    invoke(folder, [*generate, *NO_CACHE], cwd=workspace.root)
    write_configuration(config, trial(workspace, subject.id, take_invented(generated, invented), invented))
    _evaluate(workspace, subject, config, results)
    print(f"{results} written; `python -m evals promptfoo view` shows it")
    return 0


def _evaluate(workspace: Workspace, subject: Subject, config: Path, results: Path) -> None:
    """Run promptfoo on a configuration; the results take their place when all is done."""
    running = results.with_suffix(".running.json")  # promptfoo tells the format by the ending
    at_once = str(concurrency(workspace, known_model(subject.model.id)))
    arguments = ["eval", "--config", str(config), "--output", str(running), "--max-concurrency", at_once]
    invoke(workspace.root / FOLDER, [*arguments, *NO_CACHE, "--no-share", "--no-table"], cwd=workspace.root)
    running.replace(results)


def _write_config(workspace: Workspace, subject: Subject, options: argparse.Namespace) -> Path:
    cases = chosen(all_cases(workspace), [Suite(name) for name in options.suites], options.cases)
    path = _file(workspace, subject, "yaml")
    write_configuration(path, configuration(workspace, subject.id, cases))
    return path


def _file(workspace: Workspace, subject: Subject, ending: str) -> Path:
    return workspace.root / FOLDER / f"{subject.id}.{ending}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" (not {', '.join(names[:SHOWN])}{more})" if names else ""
