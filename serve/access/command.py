"""The verbs about API keys: ``python -m serve keys``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.commands.printing import print_json, print_table, tell
from orchestrator.commands.verbs import at_least_one
from serve.access import changes, key_file
from serve.access.key import ApiKey
from serve.access.key_file import ApiKeysError, KeyFile
from serve.client import Scope

GRACE_HOURS = 24.0
LONGEST_HOURS = 24 * 365.0  # of a grace: beyond, the old key was not meant to end
LONGEST_DAYS = 3650  # of a key's life
COLUMNS = ("client", "id", "scopes", "per_minute", "created_at", "expires_at", "state", "note")


def add_verbs(subparsers: Any) -> None:
    """Add ``keys`` with its verbs to what ``add_subparsers`` returned.

    Each sets ``run``, which takes the options and returns the exit code. ``options.environment`` must be set before: it names the file.
    """
    group = subparsers.add_parser("keys", help="make, list, rotate and revoke the clients' API keys", parents=[_shared()])
    group.set_defaults(file=None, json=False)
    verbs = group.add_subparsers(required=True, metavar="verb")
    _add(verbs, "list", do_list, "list the keys; their secrets are stored nowhere")

    add = _add(verbs, "add", do_add, "make a key for a client and print it, once")
    add.add_argument("client", metavar="CLIENT", help="who gets it: letters, digits, dots and dashes")
    add.add_argument("--scope", action="append", required=True, choices=[one.value for one in Scope], help="what it may do; give it again")
    add.add_argument("--per-minute", type=at_least_one, metavar="N", help="requests a minute of this client, all keys together")
    _life(add)

    rotate = _add(verbs, "rotate", do_rotate, "make a new key in place of a client's present ones, which end after the grace")
    rotate.add_argument("name", metavar="CLIENT|KEYID", help="a client, or one key of it")
    rotate.add_argument("--grace", type=_hours, default=GRACE_HOURS, metavar="HOURS", help="how long the old ones stay valid (default: 24)")
    _life(rotate)

    revoke = _add(verbs, "revoke", do_revoke, "revoke a key, or all keys of a client, at once")
    revoke.add_argument("name", metavar="KEYID|CLIENT")

    limit = _add(verbs, "limit", do_limit, "give a client a rate limit of its own, or the general one again")
    limit.add_argument("client", metavar="CLIENT")
    limit.add_argument("per_minute", nargs="?", type=at_least_one, metavar="N", help="requests a minute; left out: the general limit")


def run(options: argparse.Namespace) -> int:
    """Run the verb that was asked for."""
    status: int = options.run(options)
    return status


def do_list(options: argparse.Namespace) -> int:
    """List the keys."""
    now = _now()
    rows: list[dict[str, Any]] = [
        {
            "client": client.id,
            "id": key.id,
            "scopes": sorted(key.scopes),
            "per_minute": client.requests_per_minute,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "state": key.state(now),
            "note": key.note,
        }
        for client in key_file.read(_path(options)).clients
        for key in client.keys
    ]
    if options.json:
        print_json(rows)
    else:
        print_table(COLUMNS, [row | {"scopes": " ".join(row["scopes"])} for row in rows], empty="no keys")
    return 0


def do_add(options: argparse.Namespace) -> int:
    """Make a key."""
    key = ApiKey.new()
    _change(
        options,
        lambda held: changes.added(
            held,
            options.client,
            key,
            scopes=frozenset(map(Scope, options.scope)),
            now=_now(),
            lifetime=_days(options.expires),
            requests_per_minute=options.per_minute,
            note=options.note or "",
        ),
    )
    return _hand_over(options, key, f"key {key.id} of {options.client}")


def do_rotate(options: argparse.Namespace) -> int:
    """Make a new key in place of others."""
    key = ApiKey.new()
    grace, lifetime = timedelta(hours=options.grace), _days(options.expires)
    _change(options, lambda held: changes.rotated(held, options.name, key, now=_now(), grace=grace, lifetime=lifetime, note=options.note))
    return _hand_over(options, key, f"key {key.id} takes the place of those of {options.name}, which end in {options.grace:g} h")


def do_revoke(options: argparse.Namespace) -> int:
    """Revoke keys."""
    _change(options, lambda held: changes.revoked(held, options.name, now=_now()))
    tell(f"{options.name} is revoked; a running service refuses it within a second")
    return 0


def do_limit(options: argparse.Namespace) -> int:
    """Set a client's rate limit."""
    _change(options, lambda held: changes.limited(held, options.client, options.per_minute))
    tell(f"{options.client}: {options.per_minute or 'the general limit of'} requests a minute")
    return 0


def _shared() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--file", type=Path, metavar="FILE", help="the file of keys (default: API_KEYS_FILE)")
    shared.add_argument("--json", action="store_true", help="print JSON for programs")
    return shared


def _add(verbs: Any, name: str, do: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.", parents=[_shared()])
    parser.set_defaults(run=do)
    return parser


def _life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expires", type=_whole_days, metavar="DAYS", help="days until it ends (default: never; rotated: as the old one)")
    parser.add_argument("--note", metavar="TEXT", help="what `keys list` shows beside it")


def _hours(text: str) -> float:
    if not 0 <= (hours := float(text)) <= LONGEST_HOURS:
        raise argparse.ArgumentTypeError(f"give 0 to {LONGEST_HOURS:g} hours")
    return hours


def _whole_days(text: str) -> int:
    if not 1 <= (days := int(text)) <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"give 1 to {LONGEST_DAYS} days")
    return days


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _path(options: argparse.Namespace) -> Path:
    named = options.file or options.environment.get("API_KEYS_FILE")
    if not named:
        raise ApiKeysError("which file of keys? set API_KEYS_FILE, as the service has it, or give --file")
    return Path(named)


def _change(options: argparse.Namespace, edit: Callable[[KeyFile], KeyFile]) -> None:
    key_file.change(_path(options), edit)


def _hand_over(options: argparse.Namespace, key: ApiKey, told: str) -> int:
    """Print the key alone on standard output, so that a shell can take it, and the rest beside it."""
    if options.json:
        print_json({"id": key.id, "key": key.text()})
    else:
        print(key.text())
    tell(f"{told}: it is shown this once. Hand it over by a channel you trust")
    return 0
