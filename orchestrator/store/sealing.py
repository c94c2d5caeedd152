"""Seal personal data with a key of the interaction's own: delete that key and the data is gone (crypto-shredding)."""

from __future__ import annotations

import json

from cryptography.fernet import Fernet
from sqlalchemy import Connection, bindparam, select, update

from orchestrator.errors import OrchestratorError
from orchestrator.keys import Keys, sealed, unsealed
from orchestrator.redact import restore
from orchestrator.store.tables import ComplianceRecord, DataKey, Interaction

AT_ONCE = 500  # data keys: other writers wait no longer than these take


class Seal:
    """A new data key; ``wrapped`` is what is stored of it."""

    def __init__(self, keys: Keys) -> None:
        """Make the key and encrypt it with the master key."""
        self._secret = Fernet.generate_key()
        self.wrapped = keys.wrap(self._secret)

    def __call__(self, text: str) -> str:
        """Encrypt text."""
        return sealed(self._secret, text)


def read_whole(connection: Connection, keys: Keys, request_id: str) -> str:
    """Return the whole text of a message: as it was sealed, or the redacted one with what was taken out put back.

    Raises ``OrchestratorError`` for an unknown message and for one that was erased; ``KeysError`` when no master key fits.
    """
    query = (
        select(Interaction.redacted_text, Interaction.sealed_values, ComplianceRecord.sealed_text, DataKey.wrapped_key)
        .outerjoin(ComplianceRecord, ComplianceRecord.request_id == Interaction.request_id)
        .outerjoin(DataKey, DataKey.request_id == Interaction.request_id)
        .where(Interaction.request_id == request_id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise OrchestratorError(f"there is no message {request_id!r} here: take the request_id from the answer or the escalations")
    if row.wrapped_key is None:
        if row.sealed_text or row.sealed_values or not row.redacted_text:
            raise OrchestratorError(f"message {request_id} was erased or has expired: its key is gone")
        return str(row.redacted_text)  # there was nothing to take out
    secret = keys.unwrap(row.wrapped_key)
    if row.sealed_text:
        return unsealed(secret, row.sealed_text)
    return restore(row.redacted_text, json.loads(unsealed(secret, row.sealed_values)) if row.sealed_values else {})


def rewrap(connection: Connection, keys: Keys, after: str) -> list[str]:
    """Encrypt data keys anew with the present master key: up to ``AT_ONCE`` of those whose request id follows ``after``.

    Return the ids, in order; none where there are no more. Sealed texts stay as they are, and it is safe to repeat.
    """
    query = select(DataKey.request_id, DataKey.wrapped_key).where(DataKey.request_id > after)
    rows = connection.execute(query.order_by(DataKey.request_id).limit(AT_ONCE).with_for_update()).all()
    if rows:
        one = update(DataKey).where(DataKey.request_id == bindparam("id")).values(wrapped_key=bindparam("anew"))
        connection.execute(one, [{"id": row.request_id, "anew": keys.rewrap(row.wrapped_key)} for row in rows])
    return [row.request_id for row in rows]
