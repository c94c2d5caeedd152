"""The file of API keys: clients, their keys' hashes and scopes. Written whole, by one at a time, readable by its owner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from orchestrator.errors import OrchestratorError
from orchestrator.keys import alone
from orchestrator.schema import Record
from serve.access.key import ID_CHARS
from serve.client import ANYBODY, Scope

ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class ApiKeysError(OrchestratorError):
    """The file of API keys cannot be used, or a change of it makes no sense; the text says what to do."""


class StoredKey(Record):
    """A key without its secret: ``sha256`` of it, in hexadecimal."""

    id: str = Field(pattern=rf"^[0-9A-Za-z]{{{ID_CHARS}}}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    scopes: frozenset[Scope] = Field(min_length=1)
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    replaced_by: str | None = None
    note: str = ""

    def state(self, now: datetime) -> Literal["valid", "expired", "revoked"]:
        """Return how the key stands."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.expires_at is None or now < self.expires_at else "expired"


class StoredClient(Record):
    """A client and its keys; several are valid at once while they are rotated. Limits belong to the client, scopes to a key."""

    id: ClientId
    requests_per_minute: int | None = Field(None, ge=1)
    keys: tuple[StoredKey, ...] = ()

    @field_validator("id")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name == ANYBODY.id:
            raise ValueError(f"{name} is the name of whoever asks where keys are off")
        return name


class KeyFile(Record):
    """All clients."""

    version: Literal[1] = 1
    clients: tuple[StoredClient, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> KeyFile:
        for what, names in (
            ("client", [client.id for client in self.clients]),
            ("key", [key.id for client in self.clients for key in client.keys]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"a {what} is there twice")
        return self

    def usable(self, now: datetime) -> int:
        """Return how many keys are valid."""
        return sum(key.state(now) == "valid" for client in self.clients for key in client.keys)


def read(path: Path) -> KeyFile:
    """Read the file; raise ``ApiKeysError`` when it is missing, cannot be read or is not one."""
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ApiKeysError(f"{path} is missing: `python -m serve keys add CLIENT --scope classify` makes it") from None
    except OSError as error:
        raise ApiKeysError(f"{path} cannot be read ({error.strerror}): give it to the user that serves, who is {os.getuid()}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ApiKeysError(f"{path} is no file of API keys ({where}: {first['msg']}): put the last good one back") from None


def change(path: Path, edit: Callable[[KeyFile], KeyFile]) -> KeyFile:
    """Put what ``edit`` makes of the file in its place and return it; two changes at once come one after the other.

    A file that is missing is an empty one. Raises ``ApiKeysError`` when it cannot be read or written.
    """
    path = path.resolve()  # a link stays a link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            _hand_to_owner(path.with_name(f".{path.name}.lock"), path)
            changed = edit(read(path) if path.exists() else KeyFile())
            _replace(path, changed)
    except OSError as error:
        raise ApiKeysError(f"{path} cannot be written ({error.strerror}): nothing was changed") from None
    return changed


def _replace(path: Path, held: KeyFile) -> None:
    temporary = path.with_name(f".{path.name}.tmp")  # one name suffices: who writes is alone
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        # scopes sorted: a set has another order in every process, and the file would differ for no reason
        document = held.model_dump(mode="json") | {"clients": [_sorted(client) for client in held.clients]}
        file.write(json.dumps(document, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    _hand_to_owner(temporary, path)
    temporary.replace(path)


def _hand_to_owner(made: Path, path: Path) -> None:
    """Give what root made to the owner of the file, or of its folder where it is new: the user that serves must be able to read it."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def _sorted(client: StoredClient) -> dict[str, object]:
    held = client.model_dump(mode="json")
    return held | {"keys": [key | {"scopes": sorted(key["scopes"])} for key in held["keys"]]}
