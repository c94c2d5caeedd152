"""Command line of the harness: ``python -m evals <verb>``. The verbs are the stages of the pipeline, and what looks after the data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evals.commands import data, pipeline
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
    running = verb("run", pipeline.do_run, "ask a candidate about every row; resumes where it stopped", "prompt", "model")
    running.add_argument("--dev", action="store_true", help="run on dev instead and only print what comes out")
    verb("score", pipeline.do_score, "calibrate a candidate, judge its answers, measure them", "candidate")
    verb("champion", pipeline.do_champion, "run the released champion on the present gate and critical rows")
    gating = verb("gate", pipeline.do_gate, "judge a candidate against the champion: exit 0 PASS, 1 FAIL, 2 INCONCLUSIVE", "candidate")
    gating.add_argument("--exit-zero", action="store_true", help="write the verdict and exit 0 whatever it is (for the pipeline)")
    verb("compare", pipeline.do_compare, "set all candidates side by side and write the leaderboard")
    verb("leaderboard", pipeline.do_leaderboard, "print the leaderboard and the verdicts")
    verb("promote", pipeline.do_promote, "make a candidate that passes the gate the champion", "candidate")
    verb("rollback", pipeline.do_rollback, "put the previous champion back")
    verb("track", pipeline.do_track, "log results to MLflow that are not logged yet")
    verb("flags", data.do_flags, "measure every red-flag rule on dev")
    verb("card", data.do_card, "write reports/data_card.md, and the coverage grid into datasets/README.md")
    verb("suspects", data.do_suspects, "the rows whose label cleanlab doubts, out of fold, the most doubtful first").add_argument(
        "--most", type=int, default=0, metavar="N", help="the N most doubtful, whether cleanlab would call them wrong or not"
    )
    _transfer_verbs(verb)
    power = verb("power", data.do_power, "what the gate can tell apart at the present sizes")
    for option, help_ in (
        ("--misses", "share of safety rows the champion misses"),
        ("--disagreement", "share of safety rows that only one of two candidates catches"),
        ("--other-disagreement", "share of other rows that only one of two candidates leaves unflagged"),
    ):
        power.add_argument(option, type=float, metavar="SHARE", help=f"{help_} (default: as observed in reports/)")
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
