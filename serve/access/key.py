"""The form of an API key: ``cco_<id>_<secret><checksum>``, in letters and digits, so that a double click selects all of it.

The id finds the key and is no secret. The secret is 256 random bits, of which only the SHA-256 is stored: a slow or salted hash protects
secrets that can be guessed, and this one cannot; for the same reason nothing counts failed attempts. The checksum is a CRC-32 of all that
stands before it: a typo is told from a wrong key, and scanners of leaked secrets find no false ones. It protects nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Self

PREFIX = "cco"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_CHARS = 12  # 71 bits: two keys of one file never share an id
SECRET_BYTES = 32
SECRET_CHARS = 43  # 32 bytes to the base 62
CHECKSUM_CHARS = 6  # 32 bits to the base 62
PATTERN = re.compile(rf"{PREFIX}_([0-9A-Za-z]{{{ID_CHARS}}})_([0-9A-Za-z]{{{SECRET_CHARS}}})([0-9A-Za-z]{{{CHECKSUM_CHARS}}})", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """A key as its client has it. Its secret is in no ``repr``."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Return a new random key."""
        key_id = "".join(secrets.choice(DIGITS) for _ in range(ID_CHARS))
        return cls(key_id, _base62(int.from_bytes(secrets.token_bytes(SECRET_BYTES)), SECRET_CHARS))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a key; return ``None`` for anything that is not one, letter by letter."""
        found = PATTERN.fullmatch(text)
        if found is None:
            return None
        key = cls(found[1], found[2])
        return key if key.text() == text else None

    def text(self) -> str:
        """Return the key as it is sent."""
        body = f"{PREFIX}_{self.id}_{self.secret}"
        return body + _base62(zlib.crc32(body.encode("ascii")), CHECKSUM_CHARS)

    def digest(self) -> bytes:
        """Return the SHA-256 of the secret."""
        return hashlib.sha256(self.secret.encode("ascii")).digest()


def _base62(number: int, chars: int) -> str:
    made = ""
    for _ in range(chars):
        number, digit = divmod(number, len(DIGITS))
        made = DIGITS[digit] + made
    return made
