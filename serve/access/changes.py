"""The changes of a key file, each ``KeyFile -> KeyFile``: nothing is read, written or printed here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import ValidationError

from serve.access.key import ApiKey
from serve.access.key_file import ApiKeysError, KeyFile, StoredClient, StoredKey
from serve.client import Scope


def added(
    held: KeyFile,
    client_id: str,
    key: ApiKey,
    *,
    scopes: frozenset[Scope],
    now: datetime,
    lifetime: timedelta | None = None,
    requests_per_minute: int | None = None,
    note: str = "",
) -> KeyFile:
    """Give a client a key; a client that is not there is made. ``requests_per_minute``, where given, holds for all its keys."""
    stored = StoredKey(id=key.id, sha256=key.digest().hex(), scopes=scopes, created_at=now, expires_at=_end(now, lifetime), note=note)
    client = _find(held, client_id) or _new_client(client_id)
    if requests_per_minute is not None:
        client = client.model_copy(update={"requests_per_minute": requests_per_minute})
    return _with(held, client.model_copy(update={"keys": (*client.keys, stored)}))


def rotated(
    held: KeyFile, name: str, key: ApiKey, *, now: datetime, grace: timedelta, lifetime: timedelta | None = None, note: str | None = None
) -> KeyFile:
    """Give a client a new key in place of its present ones, or of the one named by its id, which end after ``grace``.

    The new key has the scopes of the old and, without ``lifetime``, theirs. Raises ``ApiKeysError`` when there is no valid key to replace,
    or the present ones have different scopes, so that one new key cannot stand for all.
    """
    client = _named(held, name)
    present = [one for one in client.keys if one.state(now) == "valid" and one.replaced_by is None and name in {client.id, one.id}]
    if not present:
        raise ApiKeysError(f"{name} has no valid key to rotate: `python -m serve keys add {client.id} --scope SCOPE` makes one")
    if len({one.scopes for one in present}) > 1:
        ids = ", ".join(one.id for one in present)
        raise ApiKeysError(f"the keys of {name} have different scopes: rotate them one by one, by their ids ({ids})")
    newest = present[-1]
    if lifetime is None and newest.expires_at is not None:
        lifetime = newest.expires_at - newest.created_at
    stored = StoredKey(
        id=key.id,
        sha256=key.digest().hex(),
        scopes=newest.scopes,
        created_at=now,
        expires_at=_end(now, lifetime),
        note=newest.note if note is None else note,
    )
    replaced = {one.id for one in present}

    def ending(one: StoredKey) -> StoredKey:
        return one.model_copy(update={"expires_at": min(one.expires_at or now + grace, now + grace), "replaced_by": key.id})

    return _with(held, _each(client, ending, replaced, and_then=(stored,)))


def revoked(held: KeyFile, name: str, *, now: datetime) -> KeyFile:
    """Revoke the key of an id, or all keys of a client, from now on; what was revoked before keeps its moment."""
    client = _named(held, name)
    chosen = {one.id for one in client.keys if name in {client.id, one.id} and one.revoked_at is None}
    return _with(held, _each(client, lambda one: one.model_copy(update={"revoked_at": now}), chosen))


def limited(held: KeyFile, client_id: str, requests_per_minute: int | None) -> KeyFile:
    """Set a client's own limit, or take it away."""
    client = _find(held, client_id)
    if client is None:
        raise _absent(client_id)
    return _with(held, client.model_copy(update={"requests_per_minute": requests_per_minute}))


def _end(now: datetime, lifetime: timedelta | None) -> datetime | None:
    return None if lifetime is None else now + lifetime


def _each(
    client: StoredClient, edit: Callable[[StoredKey], StoredKey], chosen: set[str], *, and_then: tuple[StoredKey, ...] = ()
) -> StoredClient:
    return client.model_copy(update={"keys": (*(edit(one) if one.id in chosen else one for one in client.keys), *and_then)})


def _find(held: KeyFile, client_id: str) -> StoredClient | None:
    return next((client for client in held.clients if client.id == client_id), None)


def _named(held: KeyFile, name: str) -> StoredClient:
    """Return the client of this id, else the one whose key has it."""
    found = _find(held, name) or next((client for client in held.clients if any(one.id == name for one in client.keys)), None)
    if found is None:
        raise _absent(name)
    return found


def _absent(name: str) -> ApiKeysError:
    return ApiKeysError(f"there is no client or key {name}: `python -m serve keys list` shows them")


def _new_client(client_id: str) -> StoredClient:
    try:
        return StoredClient(id=client_id)
    except ValidationError:
        raise ApiKeysError(
            f"{client_id!r} cannot be a client's name: at most 64 letters, digits, dots, dashes and underscores, and not `anybody`"
        ) from None


def _with(held: KeyFile, changed: StoredClient) -> KeyFile:
    if _find(held, changed.id) is None:
        return held.model_copy(update={"clients": (*held.clients, changed)})
    return held.model_copy(update={"clients": tuple(changed if client.id == changed.id else client for client in held.clients)})
