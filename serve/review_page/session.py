"""Sessions of the review page, kept in the browser alone: a sealed cookie that every replica can open, and no API key in it.

The secret comes from the pseudonym key, which all replicas share and which never changes, by HKDF (RFC 5869) under contexts of our own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import ValidationError

from orchestrator.keys import Keys
from orchestrator.schema import Record

LONGEST_S = 8 * 3600  # a shift
IDLE_S = 3600  # a desk that was left
FRESH_S = 60  # a cookie is not written anew more often

Clock = Callable[[], float]  # seconds since 1970: replicas must agree on it


class Session(Record):
    """Who has signed in: a person's name, and the id of the key that opened the door. Times are seconds since 1970."""

    id: str
    key_id: str
    name: str
    since: float
    seen: float


class Sessions:
    """Seals sessions into cookies, and opens them."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        """Derive the secrets from the keys of the installation."""
        seed = base64.b64decode(keys.pseudonym)
        self._fernet = Fernet(base64.urlsafe_b64encode(_derived(seed, b"review page: sessions")))
        self._forms = _derived(seed, b"review page: forms")
        self._clock = clock

    def begin(self, key_id: str, name: str) -> Session:
        """Return a new session."""
        now = self._clock()
        return Session(id=secrets.token_urlsafe(16), key_id=key_id, name=name, since=now, seen=now)

    def seal(self, session: Session) -> str:
        """Return the cookie of a session."""
        return self._fernet.encrypt(session.model_dump_json().encode()).decode()

    def open(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None when it is not ours, or over: 8 hours after signing in, 1 hour after it was last used."""
        try:
            session = Session.model_validate_json(self._fernet.decrypt(cookie.encode("utf-8", "replace")))
        except (InvalidToken, ValidationError):
            return None
        now = self._clock()
        return session if now < session.since + LONGEST_S and now < session.seen + IDLE_S else None

    def renewed(self, session: Session) -> Session | None:
        """Return the session as used just now; None where its cookie says so nearly already."""
        now = self._clock()
        return session.model_copy(update={"seen": now}) if now > session.seen + FRESH_S else None

    def form_token(self, session: Session) -> str:
        """Return what every form of a session must bring along, which no other site can know (HMAC-SHA-256)."""
        return hmac.new(self._forms, session.id.encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, session: Session, token: str) -> bool:
        """Say whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(session).encode(), token.encode("utf-8", "replace"))


def _derived(seed: bytes, context: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=context).derive(seed)
