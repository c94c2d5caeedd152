"""The verb that looks at live traffic."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import EvalError
from evals.workspace import Workspace, replacing

if TYPE_CHECKING:
    from evals.intervals import Estimate
    from evals.online import Report
    from orchestrator.release import Release
    from orchestrator.store.ledger import Ledger

SHOWN_PROBLEMS = 10


def do_online(workspace: Workspace, options: argparse.Namespace) -> int:
    """Check a release's live traffic; return 1 where a check alerts. A trail whose chain does not hold is a mistake: no figure is shown."""
    from evals.online import TOLERANCE, check, expectations

    tolerance = TOLERANCE if options.tolerance is None else options.tolerance
    if not 0 <= tolerance < 1:
        raise EvalError(f"--tolerance {tolerance}: it is at least 0 and below 1")
    since = None if options.since is None else parse_moment(options.since)
    release = _release(workspace, options.release)
    expected = expectations(release)
    with open_trail(options.database) as trail:
        if problems := trail.verify():
            shown = "\n".join(problems[:SHOWN_PROBLEMS])
            raise EvalError(f"the audit trail does not hold, so nothing is computed from it ({len(problems)} problem(s)):\n{shown}")
        events = (event for _, event in trail.events())
        report = check(events, expected, release=release.manifest.id, since=since, tolerance=tolerance)
    if options.metrics:
        with replacing(Path(options.metrics)) as temporary:
            temporary.write_bytes(exposition(report))
    if options.json:
        print(report.model_dump_json(indent=2))
    else:
        _print(report)
    return 1 if report.alerts else 0


def parse_moment(text: str) -> datetime:
    """Return an ISO 8601 date or moment; without an offset it is UTC. Raises ``EvalError`` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EvalError(f"--since {text!r} is not a moment: write 2026-11-24 or 2026-11-24T08:00:00+00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def exposition(report: Report) -> bytes:
    """Return a report in Prometheus' text format, one gauge per figure with the labels ``check`` and ``release``."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, words: str) -> Gauge:
        return Gauge(f"online_check_{name}", words, ["check", "release"], registry=registry)

    value = gauge("value", "Observed on live traffic; absent where nothing was observed.")
    count = gauge("observations", "Messages, or labelled messages, behind the observed value.")
    low = gauge("expected_low", "Lower end of what the evidence allows, tolerance included.")
    high = gauge("expected_high", "Upper end of what the evidence allows, tolerance included.")
    e_value = gauge("e_value", "Largest e-value so far of the test that the rate lies within what the evidence allows.")
    alert = gauge("alert", "1 once the e-value has reached the threshold, for as long as the release stays.")
    for check in report.checks:
        labels = (check.name, report.release)
        if check.observed.value is not None:
            value.labels(*labels).set(check.observed.value)
        count.labels(*labels).set(check.observed.n)
        low.labels(*labels).set(check.low)
        high.labels(*labels).set(check.high)
        e_value.labels(*labels).set(check.e_value)
        alert.labels(*labels).set(check.name in report.alerts)
    Gauge("online_check_threshold", "The e-value from which a check alerts.", registry=registry).set(report.threshold)
    return generate_latest(registry)


def _release(workspace: Workspace, wanted: str | None) -> Release:
    """Return the champion, or the one of it and its predecessor that has the wanted id."""
    from orchestrator.release import MANIFEST, load_release

    if wanted is None:
        return load_release(workspace.champion)
    folders = [workspace.champion, workspace.champion.with_name("champion_previous")]
    releases = [load_release(folder) for folder in folders if (folder / MANIFEST).exists()]
    for release in releases:
        if release.manifest.id == wanted:
            return release
    known = ", ".join(release.manifest.id for release in releases) or "none"
    raise EvalError(f"the evidence of release {wanted!r} is not here; known: {known}. Check out the commit that holds it")


@contextmanager
def open_trail(database: str | None) -> Iterator[Ledger]:
    """Yield the ledger of a database that is there: opening an SQLite file that is not would make an empty one, and all be well."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from orchestrator.store.ledger import Ledger, default_database

    given = database or default_database(os.environ)
    try:
        url = make_url(given)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise EvalError(f"there is no audit trail at {url.database}: give --database, or set DATABASE_URL")
        ledger = Ledger.at(given, os.environ)
        try:
            yield ledger
        finally:
            ledger.close()
    except SQLAlchemyError as error:
        raise EvalError(f"the database cannot be read ({type(error).__name__}: {error}): give --database, or set DATABASE_URL") from None


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    from evals.online import Status

    colours = {Status.OK: "green", Status.ALERT: "red", Status.TOO_FEW: "yellow"}
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    since = f" since {report.since.isoformat()}" if report.since else ""
    table = Table(title=f"{report.messages} messages of release {report.release}{since}")
    for name in ("check", "n", "observed [95 %]", "evidence [95 %]", "allowed", "e-value", "verdict"):
        table.add_column(name, justify="left" if name in {"check", "verdict"} else "right")
    for check in report.checks:
        table.add_row(
            check.name,
            str(check.observed.n),
            _estimate(check.observed),
            _estimate(check.expected),
            f"{check.low:.3f} … {check.high:.3f}",
            f"{check.e_value:.3g}",
            f"[{colours[check.status]}]{check.status}[/]",
        )
    console.print(table)
    labels = report.labels
    remarks = [
        f"Alert from an e-value of {report.threshold:.0f}: the chance of any false alert for a release is at most {report.alpha:.0%}.",
        f"Labels: {labels.tested} of the {labels.sampled} messages drawn at random are tested, those before the first without a label.",
        f"{labels.outside} label(s) of other messages ({labels.outside_corrected} corrected) are not tested: people see the doubtful ones.",
    ]
    if labels.next:
        remarks.append(f"Label next: {', '.join(labels.next)} (`python -m orchestrator correct REQUEST_ID LABEL --by WHO`).")
    if report.unknown:
        remarks.append(
            f"{report.unknown} messages were recorded before the trail said whether they were degraded: unknown, not counted there."
        )
    for remark in remarks:
        console.print(f"• {remark}", highlight=False, markup=False)


def _estimate(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.3f} \\[{estimate.low:.3f}, {estimate.high:.3f}]"
