"""Command line of the harness: ``python -m evals <verb>``. The verbs are the stages of the pipeline, and what looks after the data."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evals.commands import change, data, online, pipeline, promptfoo, release, reporting, running, shadow, workflows
from evals.data import Split
from evals.errors import DataError, EvalError
from evals.transfer import IMPORTABLE
from evals.workspace import Workspace
from orchestrator.errors import OrchestratorError
from orchestrator.schema import Channel


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, a verdict's exit code, 2 for a mistake of the user's, or 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(Workspace(Path(options.root)), options)
    except DataError as error:
        print(f"{error}\nerror: {len(error.problems)} problem(s) in the dataset; nothing was written", file=sys.stderr)
        return 2
    except (EvalError, OrchestratorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: every reply so far is kept; run the same command to go on", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description="Evaluate, gate and promote prompts.")
    parser.add_argument("--root", default=".", help="the project's folder (default: here)")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def verb(name: str, run: object, help_: str, *names: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_, description=help_)
        for argument in names:
            added.add_argument(argument)
        added.set_defaults(run=run)
        return added

    verb("validate", data.do_validate, "check the dataset and the promoted prompts; errors as file:line, exit 2")
    verb("local", pipeline.do_local, "train the local classifier on dev and let it answer every row")
    _run_verb(verb)
    verb("score", pipeline.do_score, "calibrate a candidate, judge its answers, measure them", "candidate")
    standing = verb("champion", pipeline.do_champion, "ask the released champion about the rows it is compared on, and judge its answers")
    half = standing.add_mutually_exclusive_group()
    half.add_argument("--ask", action="store_true", help="only ask, and keep the answers (for the pipeline)")
    half.add_argument("--judge", action="store_true", help="only judge the answers that are kept (for the pipeline)")
    gating = verb("gate", pipeline.do_gate, "judge a candidate against the champion: exit 0 PASS, 1 FAIL, 2 INCONCLUSIVE", "candidate")
    outcome = gating.add_mutually_exclusive_group()
    outcome.add_argument("--exit-zero", action="store_true", help="write the verdict and exit 0 whatever it is (for the pipeline)")
    outcome.add_argument(
        "--promptfoo", metavar="FILE", help="take the critical and injection rows from promptfoo's results; writes nothing"
    )
    verb("compare", pipeline.do_compare, "set all candidates side by side and write the leaderboard")
    verb("leaderboard", pipeline.do_leaderboard, "print the leaderboard and the verdicts")
    _report_verb(verb)
    promoting = verb("promote", release.do_promote, "certify the first of the gate passers on the sealed split and make it the champion")
    promoting.add_argument("candidate", nargs="?", help="who it must be (default: whoever ranks first)")
    verb("recertify", release.do_recertify, "certify the champion on present data and the sealed split, and freeze that as its evidence")
    verb("rollback", release.do_rollback, "put the previous champion back")
    verb("why", release.do_why, "say in plain words why a candidate was or was not promoted", "candidate")
    migrating = verb("migrate", release.do_migrate, "run the champion's prompt on another model, gate it there, and say what changes")
    migrating.add_argument("--from", dest="origin", required=True, metavar="MODEL", help="the champion's model")
    migrating.add_argument("--to", dest="target", required=True, metavar="MODEL", help="another model of orchestrator/models.yaml")
    checking = verb("selfcheck", release.do_selfcheck, "how often the gate fails the champion against itself (exit 1 above 5 %%)")
    checking.add_argument("--trials", type=int, default=1000, metavar="N", help="resampled pairs of each kind (default: %(default)s)")
    tracking = verb("track", pipeline.do_track, "log results to MLflow that are not logged yet")
    tracking.add_argument(
        "--trace", nargs="+", action="extend", metavar="MESSAGE", help="ask about messages again, by id, and log the calls"
    )
    tracking.add_argument("--candidate", metavar="ID", help="whom to ask (default: the released champion)")
    tracking.add_argument("--ui", metavar="URL", help="where the MLflow UI is, to print the link to the candidates there")
    verb("flags", data.do_flags, "measure every red-flag rule on dev")
    measuring = verb("workflows", workflows.do_workflows, "measure retrieval, intents and slots, severity, and redaction")
    measuring.add_argument("part", nargs="*", choices=[[], *workflows.PARTS], help="which (default: all, written to reports/workflows)")
    measuring.add_argument("--json", action="store_true", help="print JSON instead of tables")
    verb("fit", workflows.do_fit, "train the models of intents and severity on dev and calibration")
    verb("card", data.do_card, "write reports/data_card.md, and the coverage grid into datasets/README.md")
    verb("suspects", data.do_suspects, "the rows whose label cleanlab doubts, out of fold, the most doubtful first").add_argument(
        "--most", type=int, default=0, metavar="N", help="the N most doubtful, whether cleanlab would call them wrong or not"
    )
    _transfer_verbs(verb)
    _online_verb(verb)
    _change_verbs(verb)
    promptfoo.add_verbs(verb("promptfoo", promptfoo.do_run, "the suites through promptfoo: install, config, run, import, view, redteam"))
    power = verb("power", data.do_power, "what the gate can tell apart at the present sizes")
    for option, help_ in (
        ("--misses", "share of safety rows the champion misses"),
        ("--disagreement", "share of safety rows that only one of two candidates catches"),
        ("--other-disagreement", "share of other rows that only one of two candidates leaves unflagged"),
    ):
        power.add_argument(option, type=float, metavar="SHARE", help=f"{help_} (default: as observed in reports/)")
    return parser


def _run_verb(verb: Callable[..., argparse.ArgumentParser]) -> None:
    asking = verb("run", running.do_run, "ask a candidate about every row; resumes where it stopped", "prompt", "model")
    asking.add_argument("--dev", action="store_true", help="run on dev instead and only print what comes out")
    asking.add_argument("--repeats", type=_at_least_one, default=1, metavar="K", help="ask every row K times and report what flips")
    asking.add_argument("--max-usd", type=_positive, metavar="X", help="spend no more than X USD in this run at list price; then stop")
    asking.add_argument(
        "--cache",
        choices=("use", "only", "refresh"),
        default="use",
        help="use: ask only for replies that are not cached (default); only: ask nobody; refresh: ask all anew and replace what is cached",
    )
    batching = asking.add_mutually_exclusive_group()
    batching.add_argument("--batch", action="store_true", help="through the provider's batch API: half the price, within a day; resumes")
    batching.add_argument("--cancel", action="store_true", help="cancel the batches of this run at the provider")


def _report_verb(verb: Callable[..., argparse.ArgumentParser]) -> None:
    telling = verb("report", reporting.do_report, "tell the verdicts where they are read; exit 0 whatever they are")
    telling.add_argument(
        "--format",
        required=True,
        choices=reporting.FORMATS,
        help="markdown: a comment on a pull request; html: a page; junit: for any CI; json: for programs; github: annotations",
    )
    telling.add_argument("--candidate", nargs="+", action="extend", metavar="ID", help="whom to tell of (default: all on the leaderboard)")
    telling.add_argument("--output", metavar="FILE", help="where to write it (default: the screen; html: reports/index.html)")


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _positive(text: str) -> float:
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("give an amount above 0")
    return number


def _transfer_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    importing = verb("import", data.do_import, "add your own labelled messages to a split: CSV, JSONL, Parquet or XLSX", "file")
    importing.add_argument("--text", required=True, metavar="COL", help="the column that holds the message")
    importing.add_argument("--label", required=True, metavar="COL", help="the column that holds the label")
    importing.add_argument("--split", required=True, choices=IMPORTABLE, help="where the rows go; only dev and calibration may be tuned on")
    importing.add_argument(
        "--map", nargs="+", action="extend", default=[], metavar="OLD=NEW", help="translate your labels and channels into ours"
    )
    importing.add_argument(
        "--channel",
        default=Channel.CHAT.value,
        metavar="COL",
        help="the column of the channel, or one channel for all rows (default: chat)",
    )
    importing.add_argument("--delimiter", default=",", metavar="C", help="what separates the cells of a CSV file (default: a comma)")
    importing.add_argument("--no-redact", action="store_true", help="keep names, addresses and numbers as they are")
    importing.add_argument("--skip-duplicates", action="store_true", help="leave out rows whose text another split holds already")
    importing.add_argument("--dry-run", action="store_true", help="only say what would be added")
    exporting = verb("export", data.do_export, "write labelled messages to a CSV, JSONL, Parquet or XLSX file", "file")
    exporting.add_argument("--split", nargs="+", choices=[split.value for split in Split], default=[], help="which (default: all)")


def _online_verb(verb: Callable[..., argparse.ArgumentParser]) -> None:
    checking = verb(
        "online", online.do_online, "hold live traffic against the champion's evidence: exit 0 no alert, 1 an alert, 2 a mistake"
    )
    checking.add_argument("--database", metavar="URL", help="the audit trail (default: DATABASE_URL, else that of the orchestrator)")
    checking.add_argument("--release", metavar="ID", help="the champion or the one before it (default: the champion)")
    checking.add_argument("--since", metavar="ISO", help="only messages from this moment on; the tests start there")
    checking.add_argument("--tolerance", type=float, metavar="T", help="how far outside the evidence is no news (default: 0.02)")
    checking.add_argument("--json", action="store_true", help="print JSON instead of a table")
    checking.add_argument("--metrics", metavar="FILE", help="also write the checks in Prometheus' text format")
    comparing = verb("shadow", shadow.do_shadow, "what a challenger and the champion decided about the same live messages")
    comparing.add_argument("--database", metavar="URL", help="where they were recorded (default: DATABASE_URL, else the orchestrator's)")
    comparing.add_argument("--challenger", metavar="ID", help="which release (default: the one compared last)")
    comparing.add_argument("--champion", metavar="ID", help="against which (default: the one it was compared with last)")
    comparing.add_argument("--since", metavar="ISO", help="only comparisons from this moment on")
    comparing.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _change_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    for name, run, help_, base in (
        ("append-only", change.do_append_only, "refuse edits and deletions of committed prompts: exit 0 none, 1 some", "HEAD"),
        ("changed", change.do_changed, "print the DVC stages that CI computes anew for a change, one a line", "main"),
        ("review", change.do_review, "what CI says of a change: exit 0 the champion stands, 1 it fails, 2 it cannot be told", "main"),
    ):
        added = verb(name, run, help_)
        added.add_argument("--base", default=base, metavar="REF", help="compare with this (default: %(default)s)")
        if name == "changed":
            added.add_argument("--prompts", action="store_true", help="print the prompts that were added or changed instead")


if __name__ == "__main__":
    sys.exit(main())
