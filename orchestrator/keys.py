"""The keys: what encrypts messages, signs the audit trail and hides customer ids. From the environment, or from a key file.

``ENCRYPTION_KEYS`` (Fernet keys, the one to encrypt with first, older ones behind it), ``AUDIT_SIGNING_KEY`` (an Ed25519 seed) and
``PSEUDONYM_KEY`` (never to be changed: customers are found by it), each base64; or ``KEY_FILE``, which holds the three.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.errors import KeysError

KEY_FILE = "keys.json"
SEED_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """The keys of one installation. The first encryption key encrypts; all of them decrypt."""

    encryption: tuple[str, ...]
    signing: str
    pseudonym: str
    origin: str = "the environment"

    @classmethod
    def new(cls) -> Self:
        """Return new random keys."""
        return cls((Fernet.generate_key().decode(),), _random(), _random(), "just made")

    @classmethod
    def of(cls, environment: Mapping[str, str], default_file: Path | None = None, may_make: Callable[[], bool] = lambda: True) -> Self:
        """Return the configured keys; where none are, those of ``default_file``, which is made where it is missing and ``may_make`` allows.

        Raises ``KeysError`` when they are incomplete, malformed, lost or, without a default file, not configured.
        """
        given = {name: environment.get(name, "") for name in ("ENCRYPTION_KEYS", "AUDIT_SIGNING_KEY", "PSEUDONYM_KEY")}
        if any(given.values()):
            if missing := [name for name, value in given.items() if not value]:
                raise KeysError(f"{' and '.join(missing)} must be set too: `python -m orchestrator keys new` prints a set")
            encryption = tuple(key.strip() for key in given["ENCRYPTION_KEYS"].split(",") if key.strip())
            return cls(encryption, given["AUDIT_SIGNING_KEY"], given["PSEUDONYM_KEY"])._checked()
        if named := environment.get("KEY_FILE"):
            return cls.read(Path(named))
        if default_file is None:
            raise KeysError("no keys are configured: set KEY_FILE to the path of a file made with `python -m orchestrator keys new FILE`")
        if not default_file.exists():
            if not may_make() and not default_file.exists():  # asked again: another process may have made it, and used it, meanwhile
                raise KeysError(
                    f"{default_file} is missing, and what is stored was sealed with its keys: put it back, or set KEY_FILE to a copy of it"
                )
            cls.new().write(default_file)
        return cls.read(default_file)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a key file; raise ``KeysError`` when it is missing or not one."""
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(held["encryption"]), held["signing"], held["pseudonym"], str(path))._checked()
        except FileNotFoundError:
            raise KeysError(f"{path} is missing: make one with `python -m orchestrator keys new {path}`") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeysError(f"{path} is not a key file ({type(error).__name__}: {error})") from None

    def write(self, path: Path) -> None:
        """Write a key file that only its owner can read; an existing one is never overwritten."""
        path.parent.mkdir(parents=True, exist_ok=True)
        held = {"encryption": self.encryption, "signing": self.signing, "pseudonym": self.pseudonym}
        _write_private(path, json.dumps(held, indent=2) + "\n", replace=False)

    def rotated(self) -> Keys:
        """Return the keys with a new encryption key in front; what the old ones encrypted stays readable."""
        return Keys((Fernet.generate_key().decode(), *self.encryption), self.signing, self.pseudonym, self.origin)

    def replace(self, path: Path) -> None:
        """Write these keys over those of a key file, in one step."""
        held = {"encryption": self.encryption, "signing": self.signing, "pseudonym": self.pseudonym}
        _write_private(path, json.dumps(held, indent=2) + "\n", replace=True)

    def wrap(self, secret: bytes) -> str:
        """Encrypt a data key."""
        return self._fernet.encrypt(secret).decode()

    def unwrap(self, wrapped: str) -> bytes:
        """Decrypt a data key; raise ``KeysError`` when none of the keys fits."""
        try:
            return self._fernet.decrypt(wrapped)
        except InvalidToken:
            raise self._unfit() from None

    def rewrap(self, wrapped: str) -> str:
        """Encrypt a data key anew with the present key."""
        try:
            return self._fernet.rotate(wrapped).decode()
        except InvalidToken:
            raise self._unfit() from None

    def pseudonym_of(self, customer_id: str) -> str:
        """Return a keyed hash (HMAC-SHA-256, hexadecimal) by which a customer is found but not known."""
        return hmac.new(base64.b64decode(self.pseudonym), customer_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    @cached_property
    def signer(self) -> Ed25519PrivateKey:
        """The private key that signs the audit trail's checkpoints."""
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.signing))

    @cached_property
    def public_key(self) -> str:
        """The public key that verifies them, as PEM."""
        return self.signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @cached_property
    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self.encryption])

    def _unfit(self) -> KeysError:
        return KeysError(f"none of the encryption keys of {self.origin} fits: put the key that was used back, behind the present one")

    def _checked(self) -> Self:
        try:  # MultiFernet refuses an empty list, and each key its wrong form
            _ = self._fernet, self.signer
            short = len(base64.b64decode(self.pseudonym, validate=True)) < SEED_BYTES
        except (ValueError, TypeError, AttributeError) as error:
            raise KeysError(f"the keys of {self.origin} are not usable ({error}): `python -m orchestrator keys new` prints a set") from None
        if short:
            raise KeysError(f"the pseudonym key of {self.origin} is shorter than {SEED_BYTES} bytes")
        return self


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Have a key file to oneself among all who ask so, to read it and write it anew. Raises ``OSError`` where nothing can be written."""
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed
        yield


def _random() -> str:
    return base64.b64encode(os.urandom(SEED_BYTES)).decode()


def _write_private(path: Path, text: str, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        temporary.replace(path)
    else:
        try:  # a link fails where a rename would overwrite: of two that start at once, both use the first's keys
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut could take the file's new name back, after keys were used
    finally:
        os.close(folder)


def sealed(secret: bytes, text: str) -> str:
    """Encrypt text with a data key."""
    return Fernet(secret).encrypt(text.encode("utf-8", "surrogatepass")).decode()


def unsealed(secret: bytes, token: str) -> str:
    """Decrypt what ``sealed`` encrypted; raise ``KeysError`` when the data key is another's."""
    try:
        return Fernet(secret).decrypt(token.encode()).decode("utf-8", "surrogatepass")
    except InvalidToken:
        raise KeysError("the sealed text does not fit its key: the row was changed or belongs to another message") from None


def describe(keys: Keys) -> dict[str, Any]:
    """Return what may be said of keys aloud."""
    return {"origin": keys.origin, "encryption_keys": len(keys.encryption), "public_key": keys.public_key}
