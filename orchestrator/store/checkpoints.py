"""Signed checkpoints of the audit chain, outside the database: who can edit the tables alone cannot hide that they did.

``head.json`` tells how far the chain reached when the last answer was given, ``checkpoints.jsonl`` every thousandth event for good,
``pruned.jsonl`` where retention cut the chain's beginning off. Each entry is signed with Ed25519 (RFC 8032) over its id and hash.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.errors import KeysError, OrchestratorError
from orchestrator.keys import Keys
from orchestrator.schema import Record

EVERY = 1000  # events between two checkpoints that are kept for good
HEAD, KEPT, PRUNED = "head.json", "checkpoints.jsonl", "pruned.jsonl"
PUBLIC_KEY = "public_key.pem"


class Checkpoint(Record):
    """The chain reached event ``id``, whose hash was ``hash``."""

    id: int
    hash: str
    at: datetime
    signature: str = ""

    def signed_text(self, purpose: str) -> bytes:
        """Return what is signed; ``purpose`` is the file's name, so that an entry of one file is worth nothing in another."""
        return f"{purpose}\n{self.id}\n{self.hash}\n{self.at.isoformat()}".encode()


class Checkpoints:
    """The three files in one folder, shared by all processes of a machine."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        """Use ``folder``, which is made when the first checkpoint is written."""
        self._folder, self._keys = folder, keys
        self._lock, self._public_key = folder / ".lock", folder / PUBLIC_KEY

    def advance(self, *, id: int, hash: str, at: datetime) -> None:  # noqa: A002  # the field's name
        """Say that the chain has reached event ``id``; an older head than the present one changes nothing."""
        with self._alone():
            last = self._read(HEAD)
            reached = last[-1].id if last else 0
            if id <= reached:
                return
            if id // EVERY > reached // EVERY:
                self._append(KEPT, self._signed(KEPT, id, hash, at))
            self._replace(HEAD, self._signed(HEAD, id, hash, at).model_dump_json() + "\n")

    def keep_if_lost(self, hash_of: Callable[[int], str | None], at: datetime) -> bool:
        """Keep the signed head for good where the chain does not hold it, for the next head would take its place.

        Then an older backup was put back, or events were edited or deleted. ``hash_of`` returns the hash of an event, None where it is
        missing. Return whether it was kept by this call; the caller has the chain's end to itself.
        """
        last = self._read(HEAD)  # put in place whole, so no lock is needed to read it
        if not last or hash_of(last[-1].id) == last[-1].hash:
            return False
        with self._alone():
            lost = last[-1]
            if any(lost.id <= pruned.id for pruned in self._read(PRUNED)):
                return False
            if any((kept.id, kept.hash) == (lost.id, lost.hash) for kept in self._read(KEPT)):
                return False
            self._append(KEPT, self._signed(KEPT, lost.id, lost.hash, at))
            return True

    def prune(self, *, id: int, hash: str, at: datetime) -> None:  # noqa: A002  # the field's name
        """Say that the events up to ``id`` are about to be deleted because they have expired."""
        with self._alone():
            self._append(PRUNED, self._signed(PRUNED, id, hash, at))

    def _signed(self, purpose: str, id: int, hash: str, at: datetime) -> Checkpoint:  # noqa: A002  # the fields' names
        bare = Checkpoint(id=id, hash=hash, at=at)
        signature = base64.b64encode(self._keys.signer.sign(bare.signed_text(purpose))).decode()
        return bare.model_copy(update={"signature": signature})

    def _read(self, name: str) -> list[Checkpoint]:
        return read_checkpoints(self._folder / name)

    def _append(self, name: str, entry: Checkpoint) -> None:
        path = self._folder / name
        held = path.read_text(encoding="utf-8") if path.exists() else ""
        self._replace(name, held + entry.model_dump_json() + "\n")  # a disk that is full never leaves half a line

    def _replace(self, name: str, text: str) -> None:
        temporary = self._folder / f".{name}.tmp"  # alone under the lock
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if name != HEAD:  # the head may fall behind with the power; what is written rarely and for good may not be lost
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(self._folder / name)
        if name != HEAD:
            sync_folder(self._folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            lock = self._opened_lock()
        except OSError as error:
            raise OrchestratorError(f"checkpoints of the audit trail cannot be written to {self._folder} ({error.strerror})") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._public_key.exists():
                self._replace(PUBLIC_KEY, self._keys.public_key)
            yield
        finally:
            os.close(lock)

    def _opened_lock(self) -> int:
        try:
            return os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:  # the first checkpoint: asked for only now, as this is done for every commit
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o644)


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Return the entries of one file, none when it is missing. Raises ``OrchestratorError`` naming the line that is not one."""
    try:
        held = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(held.splitlines(), start=1):
        try:
            found.append(Checkpoint.model_validate_json(line))
        except ValueError:
            raise OrchestratorError(f"{path}:{number} is no checkpoint: the file was changed, or a write was cut off") from None
    return found


def forged(entries: list[Checkpoint], purpose: str, public_key: str) -> list[Checkpoint]:
    """Return the entries whose signature is not of the given key (PEM) for that file."""
    try:
        key = load_pem_public_key(public_key.encode())
    except ValueError:
        raise KeysError("the public key is not in PEM format: take public_key.pem from beside the checkpoints") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeysError("the public key is not an Ed25519 key: take public_key.pem from beside the checkpoints")
    return [entry for entry in entries if not _valid(key, entry, purpose)]


def _valid(key: Ed25519PublicKey, entry: Checkpoint, purpose: str) -> bool:
    try:
        key.verify(base64.b64decode(entry.signature), entry.signed_text(purpose))
    except (InvalidSignature, ValueError):
        return False
    return True
