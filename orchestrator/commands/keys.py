"""The verbs about the keys."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands.opening import ledger_of, missing_file, unopened_ledger
from orchestrator.commands.printing import print_json
from orchestrator.commands.verbs import Verbs
from orchestrator.errors import KeysError

if TYPE_CHECKING:
    from orchestrator.keys import Keys

VARIABLES = ("ENCRYPTION_KEYS", "AUDIT_SIGNING_KEY", "PSEUDONYM_KEY")


def add_verbs(verbs: Verbs) -> None:
    """Add ``keys`` with its verbs."""
    group, _ = verbs.group("keys", "make, rotate or describe the keys")
    new = group.add(
        "new",
        do_new,
        "make a set of keys: printed as environment variables, or into a file that only its owner can read",
        examples=("keys new /run/secrets/keys.json", "keys new >> .env"),
        more="An existing file is never overwritten.",
    )
    new.add_argument("file", nargs="?", metavar="FILE", type=Path, help="a new file, to be named in KEY_FILE")
    group.add(
        "rotate",
        do_rotate,
        "put a new encryption key in front in the key file, and encrypt all data keys with it",
        examples=("keys rotate",),
        more="The older keys stay behind it. Keys in the environment are changed there; then run `keys rewrap`.",
    )
    group.add("rewrap", do_rewrap, "encrypt all data keys with the present encryption key", examples=("keys rewrap",))
    group.add("show", do_show, "say where the keys come from, and the public key; never a secret", examples=("keys show --json",))


def do_new(options: argparse.Namespace) -> int:
    """Make keys."""
    from orchestrator.keys import Keys

    keys = Keys.new()
    values = dict(zip(VARIABLES, (",".join(keys.encryption), keys.signing, keys.pseudonym), strict=True))
    if options.file is None:
        if options.json:
            print_json(values)
        else:
            print("\n".join(f"{name}={value}" for name, value in values.items()))
        return 0
    try:
        if not options.file.exists():
            keys.write(options.file)
    except OSError as error:
        raise KeysError(f"{options.file} cannot be written ({error.strerror})") from None
    written = Keys.read(options.file)
    if written.signing != keys.signing:
        raise KeysError(f"{options.file} holds keys already: they are kept, as what they encrypted could not be read with others")
    if options.json:
        print_json({"file": options.file, "public_key": written.public_key})
    else:
        print(f"keys written to {options.file}: keep a copy apart from the database, and set KEY_FILE={options.file}")
    return 0


def do_rotate(options: argparse.Namespace) -> int:
    """Rotate the encryption key of the key file."""
    from orchestrator.keys import Keys, alone

    ledger = unopened_ledger(options)
    if any(options.environment.get(name) for name in VARIABLES):
        raise KeysError(
            "the keys are in the environment: put a new one in front in ENCRYPTION_KEYS (`keys new` prints one), then `keys rewrap`"
        )
    path = Path(_configured(options).origin)
    with ExitStack() as held:
        try:
            held.enter_context(alone(path))  # of two rotations at once each would lose the other's key
            rotated = Keys.read(path).rotated()
            rotated.replace(path)  # first: were it last, data keys could be encrypted with a key that is nowhere
        except OSError as error:
            raise KeysError(f"{path} cannot be written ({error.strerror}): nothing was rotated") from None
        count = 0 if missing_file(ledger.engine.url) else _rewrapped(options)
    if options.json:
        print_json({"file": path, "encryption_keys": len(rotated.encryption), "data_keys": count})
    else:
        print(f"{path} has a new encryption key; {count} data key(s) are encrypted with it. Restart what else uses the file")
    return 0


def do_rewrap(options: argparse.Namespace) -> int:
    """Encrypt all data keys with the present key."""
    count = _rewrapped(options)
    if options.json:
        print_json({"data_keys": count})
    else:
        print(f"{count} data key(s) are encrypted with the present encryption key")
    return 0


def do_show(options: argparse.Namespace) -> int:
    """Describe the keys."""
    from orchestrator.keys import describe

    told = describe(_configured(options))
    if options.json:
        print_json(told)
    else:
        print(f"keys of {told['origin']}: {told['encryption_keys']} encryption key(s); the audit trail is verified with")
        print(told["public_key"].strip())
    return 0


def _configured(options: argparse.Namespace) -> Keys:
    """Return the keys without making any."""
    from orchestrator.keys import KEY_FILE, Keys

    ledger = unopened_ledger(options)
    default = ledger.data_dir / KEY_FILE
    use_default = ledger.engine.dialect.name == "sqlite" and default.exists()
    return Keys.of(options.environment, default if use_default else None)


def _rewrapped(options: argparse.Namespace) -> int:
    with ledger_of(options) as ledger:
        return ledger.rewrap_keys()
