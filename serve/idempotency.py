"""``Idempotency-Key``: a request made again is done once. Keys are per client.

What was answered is kept by the ledger, in the transaction of the outcome. Of two requests with one key at once in this process the later
gets 409. On two replicas both are handled, the database takes the first (its key is unique), and the later is answered with that one. What
failed (500, 503) is not remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, NoReturn

from fastapi import Header, Request
from starlette.exceptions import HTTPException

from orchestrator.errors import ConflictError

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}
REPLAYED_HEADER = {
    "Idempotency-Replayed": {"description": "the answer given before under this key", "schema": {"type": "string", "const": "true"}}
}
MAX_CHARS = 255
RETRY_AFTER_S = "1"
_VISIBLE = re.compile(r"[\x21-\x7e]+")

KeyHeader = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description=f"makes it safe to repeat the request: 1 to {MAX_CHARS} visible ASCII characters, new for every new request",
        json_schema_extra={"minLength": 1, "maxLength": MAX_CHARS, "pattern": r"^[\x21-\x7e]+$"},  # checked here: a bad one is a 400
    ),
]


def key_of(request: Request, *, max_chars: int = MAX_CHARS) -> str | None:
    """Return the idempotency key of a request; None without one. A malformed one, or a second one, is a 400 problem."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or len(given[0]) > max_chars or not _VISIBLE.fullmatch(given[0]):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{HEADER}: one, of 1 to {max_chars} visible ASCII characters")
    return given[0]


class InFlight:
    """The keys that this process is at work on."""

    def __init__(self) -> None:
        """Begin with none."""
        self._hashes: dict[tuple[str, str], str] = {}

    @contextmanager
    def claimed(self, client: str, key: str | None, body_hash: str) -> Iterator[None]:
        """Have a key to oneself; without one nothing is claimed. While another has it this is a 409 problem, for another body a 422 one."""
        if key is None:
            yield
            return
        mine = (client, key)
        if other := self._hashes.get(mine):
            if other != body_hash:
                refuse_reuse()
            detail = f"a request with this {HEADER} is under way: make it again for its answer"
            raise HTTPException(HTTPStatus.CONFLICT, detail, headers={"Retry-After": RETRY_AFTER_S})
        self._hashes[mine] = body_hash
        try:
            yield
        except ConflictError:
            refuse_reuse()
        finally:
            del self._hashes[mine]


def refuse_reuse() -> NoReturn:
    """Answer that a key was used for another request."""
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{HEADER} was used for another request: take a new key") from None
