"""The verbs about the audit trail."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, tell, visible
from orchestrator.commands.verbs import Verbs, at_least_one
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.store.audit import Head
    from orchestrator.store.ledger import Ledger


def add_verbs(verbs: Verbs) -> None:
    """Add ``audit`` with its verbs."""
    group, _ = verbs.group("audit", "check, export or follow the audit trail")
    verify = group.add(
        "verify",
        do_verify,
        "verify the hash chain from end to end and against its signed checkpoints",
        examples=("audit verify", "audit verify --checkpoints /mnt/copy/audit --public-key public_key.pem"),
        more="Exit 1 when it does not hold. Checkpoints and key from elsewhere than the server show what its administrator could hide.",
    )
    verify.add_argument("--checkpoints", type=Path, metavar="DIR", help="the signed checkpoints (default: CHECKPOINTS_DIR)")
    verify.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the PEM file of the key they are signed with (default: of our keys)"
    )
    export = group.add(
        "export",
        do_export,
        "write the chain as JSON Lines (id, previous_hash, hash, event), for an auditor who trusts no code of ours",
        examples=("audit export trail.jsonl", "audit export - | gzip > trail.jsonl.gz"),
        more="How to verify it by ten lines of Python stands in docs/command-line.md.",
    )
    export.add_argument("file", metavar="FILE", help="where to; - is standard output")
    tail = group.add("tail", do_tail, "print the last events; with --json as JSON Lines", examples=("audit tail -n 50 --json",))
    tail.add_argument("-n", "--number", type=at_least_one, default=10, metavar="N", help="how many (default: %(default)s)")


def do_verify(options: argparse.Namespace) -> int:
    """Verify the chain; return 1 when it does not hold."""
    if options.checkpoints and not options.checkpoints.is_dir():
        raise OrchestratorError(f"--checkpoints {options.checkpoints}: there is no such folder")
    key = _read_key(options.public_key) if options.public_key else None
    with ledger_of(options, may_be_new=True) as ledger:
        problems = ledger.verify(options.checkpoints, key)
        events = _head(ledger).id
    if options.json:
        print_json({"holds": not problems, "last_event": events, "problems": problems})
    else:
        print("\n".join(problems) or f"the audit trail holds, up to event {events}")
    return 1 if problems else 0


def do_export(options: argparse.Namespace) -> int:
    """Write the chain as it is stored, event by event."""
    from orchestrator.whole_file import replacing

    with ledger_of(options) as ledger:
        if options.file == "-":
            _write_chain(ledger, sys.stdout.buffer)
            return 0
        with replacing(Path(options.file)) as file:
            count = _write_chain(ledger, file)
        folder = ledger.checkpoints_dir
    if options.json:
        print_json({"file": options.file, "events": count, "checkpoints": folder})
    else:
        print(f"{count} events written to {options.file}; the signed checkpoints are in {folder}")
    return 0


def do_tail(options: argparse.Namespace) -> int:
    """Print the last events, the oldest of them first."""
    with ledger_of(options) as ledger:
        for number, event in ledger.events(after_id=_head(ledger).id - options.number):
            if options.json:
                print(json.dumps({"id": number} | event))
            else:
                known = {name: event.pop(name, "-") for name in ("at", "kind", "request_id")}
                rest = ", ".join(f"{name} {value}" for name, value in event.items() if not isinstance(value, dict))
                print(visible(f"{number}  {known['at']}  {known['kind']}  {known['request_id']}  {rest}"))
    return 0


def _head(ledger: Ledger) -> Head:
    from orchestrator.store.audit import read_head
    from orchestrator.store.database import reading

    with reading(ledger.engine) as connection:
        return read_head(connection)


def _write_chain(ledger: Ledger, file: BinaryIO) -> int:
    from orchestrator.store.audit import read_links
    from orchestrator.store.database import reading

    count = 0
    with reading(ledger.engine) as connection:
        for number, previous, digest, text in read_links(connection):
            file.write(json.dumps({"id": number, "previous_hash": previous, "hash": digest, "event": text}).encode() + b"\n")
            count += 1
    if not count:
        tell("the audit trail is empty")
    return count


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OrchestratorError(f"--public-key {path} cannot be read ({error}): take public_key.pem from beside the checkpoints") from None
