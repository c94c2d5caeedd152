"""The verb that tells the verdicts where they are read: a pull request, a CI, another program, a browser."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from evals.errors import EvalError
from evals.workspace import Workspace, replacing

FORMATS = ("markdown", "html", "junit", "json", "github")


def do_report(workspace: Workspace, options: argparse.Namespace) -> int:
    """Write the verdicts in a format, to a file or to the screen; 0 whatever they are, for the gate judges."""
    output = Path(options.output) if options.output else None
    if options.format == "html":
        return _page(workspace, output or workspace.reports / "index.html", options)
    text = _text(workspace, options.format, list(dict.fromkeys(options.candidate or ())) or None)
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # the formats are UTF-8 whatever the terminal's locale
        sys.stdout.write(text)
        return 0
    try:
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise EvalError(f"cannot write {output} ({error.strerror}): name another file with --output") from None
    return 0


def _page(workspace: Workspace, path: Path, options: argparse.Namespace) -> int:
    from evals.page import write_page

    if options.candidate:
        raise EvalError("the page shows all candidates: leave --candidate out, or use another --format")
    write_page(workspace, path)
    print(f"written to {path}")
    return 0


def _text(workspace: Workspace, format_: str, names: list[str] | None) -> str:
    """Return the report; a comment tells of the candidates named in detail, or of the leader where none is."""
    from evals.report.annotations import annotate, place_of
    from evals.report.changes import read_changes
    from evals.report.comment import comment
    from evals.report.junit import junit
    from evals.report.losses import read_losses, shown_texts
    from evals.report.summary import summary

    changes = read_changes(workspace, names)
    if format_ == "github":
        return annotate([(change, place_of(workspace, change)) for change in changes.candidates])
    if format_ != "markdown":
        return (junit if format_ == "junit" else summary)(changes)
    texts = shown_texts(workspace)
    told = changes.candidates if names else [changes.leader] if changes.leader else []
    return comment(changes, {change.candidate: read_losses(workspace, change.judgement, texts) for change in told})
