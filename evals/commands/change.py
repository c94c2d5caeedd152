"""The verbs that judge a change: what a commit or a pull request does to prompts and champion."""

from __future__ import annotations

import argparse
import sys

from evals.repository import has_commits, merge_base
from evals.workspace import Workspace


def do_append_only(workspace: Workspace, options: argparse.Namespace) -> int:
    """Refuse edits and deletions of committed prompts; 1 when there are any."""
    from evals.review import edited_prompts

    if not has_commits(workspace.root):
        return 0
    problems = edited_prompts(workspace.root, merge_base(workspace.root, options.base))
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def do_changed(workspace: Workspace, options: argparse.Namespace) -> int:
    """Print the stages to compute anew, for `dvc repro --force --single-item`, or the prompts that were changed."""
    from evals.review import changed_prompts, cold_stages

    names = (changed_prompts if options.prompts else cold_stages)(workspace, merge_base(workspace.root, options.base))
    print("\n".join(names), end="\n" if names else "")
    return 0


def do_review(workspace: Workspace, options: argparse.Namespace) -> int:
    """Say what the gate finds of a change; the champion's verdict is the exit code, the other candidates' are for the reader."""
    from evals.review import changed_candidates, review_champion
    from evals.verdict import judge_candidate

    commit = merge_base(workspace.root, options.base)
    candidates = changed_candidates(workspace, commit)
    print(f"changed prompts: {len(candidates)} candidates" if candidates else "no prompt was added or changed")
    for name in candidates:
        judged = judge_candidate(workspace, workspace.candidate(name))
        _print_verdict(f"{judged['verdict']}: {name} (for the reader: an experiment may fail)", judged["reasons"])
    verdict, reasons = review_champion(workspace, commit)
    _print_verdict(f"{verdict}: the champion", reasons)
    return verdict.exit_code


def _print_verdict(title: str, reasons: list[str]) -> None:
    print("\n  ".join([title, *reasons]))
