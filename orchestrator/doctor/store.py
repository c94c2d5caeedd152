"""Look at the store: database, keys, the audit trail's end, what waits for a person and what was not delivered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError

from orchestrator.doctor.finding import Finding, fail, looked_at, ok, warn
from orchestrator.errors import OrchestratorError
from orchestrator.keys import KEY_FILE, Keys
from orchestrator.schema import Severity
from orchestrator.store import migrate
from orchestrator.store.audit import read_head
from orchestrator.store.checkpoints import HEAD, forged, read_checkpoints
from orchestrator.store.database import database_url, open_engine, reading
from orchestrator.store.ledger import Ledger
from orchestrator.store.listings import count_late, dead_by_topic, newest_wrapped_key

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

RELAY_LATE = timedelta(minutes=5)  # a message that is due for longer shows that no relay takes it


def check_store(text: str, environment: Mapping[str, str]) -> list[Finding]:
    """Look at the database and at what is kept beside it; the rest is left out where the database does not answer."""
    try:
        url = database_url(text)
    except OrchestratorError as error:
        return [fail("database", str(error), "set DATABASE_URL, or give --database")]
    beside = Ledger(create_engine(url, hide_parameters=True), environment)  # connects to nothing: for where its files are
    database, usable = _database(url)
    found = [database, _data_dir(beside), looked_at("keys", lambda: _keys(beside))]
    if not usable:
        return found
    ledger = Ledger(open_engine(url), environment)
    try:
        looks = {"keys fit": _keys_fit, "audit trail": _audit_trail, "escalations": _escalations, "outbox": _outbox}
        return found + [looked_at(name, partial(look, ledger)) for name, look in looks.items()]
    finally:
        ledger.close()


def _database(url: URL) -> tuple[Finding, bool]:
    """Return how the database is, and whether its tables can be looked at."""
    name, shown = "database", url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return warn(name, f"{shown} is not there yet", "the first message makes it; or run `migrate`"), False
    engine = open_engine(url)
    try:
        revision, latest = migrate.current(engine), migrate.latest()
    except DatabaseError as error:
        return fail(name, f"{shown} is no database of ours ({error.orig})", "give another in DATABASE_URL"), False
    except OrchestratorError as error:
        return fail(name, f"{shown}: {error}", "until it answers, nothing is accepted"), False
    finally:
        engine.dispose()
    if revision != latest:
        return warn(name, f"{shown} answers; its schema is at {revision}, the latest is {latest}", "run `migrate`"), False
    return ok(name, f"{shown} answers; its schema is at {revision}, the latest"), True


def _data_dir(ledger: Ledger) -> Finding:
    folder = ledger.data_dir
    first = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    if not first.is_dir() or not os.access(first, os.W_OK):
        return fail("data folder", f"{folder} cannot be written", "set DATA_DIR to a folder that can, or mend its permissions")
    return ok("data folder", f"{folder}" if folder.exists() else f"{folder}, to be made")


def _keys(ledger: Ledger) -> Finding:
    default = ledger.data_dir / KEY_FILE
    is_sqlite = ledger.engine.dialect.name == "sqlite"
    configured = any(ledger.environment.get(name) for name in ("KEY_FILE", "ENCRYPTION_KEYS", "AUDIT_SIGNING_KEY", "PSEUDONYM_KEY"))
    if is_sqlite and not configured and not default.exists():
        return warn("keys", f"none yet: {default} will be made", "for production set KEY_FILE, away from the database")
    keys = Keys.of(ledger.environment, default if is_sqlite else None)
    told = f"from {keys.origin}, {len(keys.encryption)} encryption key(s)"
    file = Path(keys.origin)
    if file.is_file() and file.stat().st_mode & 0o077:
        return warn("keys", f"{told}; others than its owner may read the file", f"chmod 600 {file}")
    if not configured:
        return warn("keys", f"{told}, beside the database", "who copies the folder has both: for production set KEY_FILE to another place")
    return ok("keys", told)


def _keys_fit(ledger: Ledger) -> Finding:
    with reading(ledger.engine) as connection:
        wrapped = newest_wrapped_key(connection)
    if wrapped is None:
        return ok("keys fit", "nothing is sealed yet")
    ledger.keys.unwrap(wrapped)  # raises KeysError
    return ok("keys fit", "the safety message that was stored last can be opened")


def _audit_trail(ledger: Ledger) -> Finding:
    name, folder = "audit trail", ledger.checkpoints_dir
    with reading(ledger.engine) as connection:
        head = read_head(connection)
    signed = read_checkpoints(folder / HEAD)
    if not signed:
        if not head.id:
            return ok(name, "empty")
        return fail(name, f"it has {head.id} events and no signed head in {folder}", "set CHECKPOINTS_DIR to where it is; `audit verify`")
    if forged(signed, HEAD, ledger.keys.public_key):
        return fail(name, f"the head in {folder} is not signed with our key", "find out which of the two was changed; `audit verify`")
    last = signed[-1]
    if last.id > head.id or (last.id == head.id and last.hash != head.hash):
        return fail(name, f"it ends at event {head.id}, but event {last.id} was signed", "events were cut off or changed; `audit verify`")
    if last.id < head.id:
        return warn(name, f"{head.id - last.id} event(s) behind the signed one, {last.id}", "the next message signs them; `audit verify`")
    return ok(name, f"its end, event {head.id}, is the one that was signed in {folder}")


def _escalations(ledger: Ledger) -> Finding:
    waiting = ledger.escalations()
    overdue = [one for one in waiting if one.overdue]
    told = f"{len(waiting)} wait for a person, {len(overdue)} of them past their time"
    if any(one.severity != Severity.ROUTINE for one in overdue):
        return fail("escalations", f"{told}, {overdue[0].severity.value} among them", "now: `escalations list --overdue`")
    return warn("escalations", told, "`escalations list --overdue`") if overdue else ok("escalations", told)


def _outbox(ledger: Ledger) -> Finding:
    with reading(ledger.engine) as connection:
        dead, late = dead_by_topic(connection), count_late(connection, ledger.clock() - RELAY_LATE)
    pending = ledger.outbox_counts()["pending"]
    if dead:
        told = "given up: " + ", ".join(f"{count} {topic}" for topic, count in sorted(dead.items()))
        advice = "`outbox list --dead` says why; mend it, then `outbox redrive`"
        serious = any(topic.startswith("escalation") for topic in dead)  # a person was not paged
        return fail("outbox", told, advice) if serious else warn("outbox", told, advice)
    if late:
        return warn("outbox", f"{pending} wait, {late} of them for more than 5 minutes", "is `relay` running, and are its webhooks set?")
    return ok("outbox", f"{pending} wait, none was given up")
