"""What goes wrong with an LLM's server, and what it says then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from orchestrator.testing_completion import completion, obedient_completion


class Toxic(StrEnum):
    """What becomes of a request."""

    OK = "ok"  # the answer that its schema asks for
    HANG = "hang"  # nothing, for ever
    DRIP = "drip"  # a head, and then a byte now and then, for ever
    SLICER = "slicer"  # the right answer, in tiny pieces
    RESET = "reset"  # a TCP reset
    HALF_BODY = "half_body"  # the head promises more than comes before the connection is closed
    SLOW_CLOSE = "slow_close"  # the right answer, which ends with the connection, and the connection does not end
    WRONG_SCHEMA = "wrong_schema"  # a completion with JSON of another form
    IGNORES_SCHEMA = "ignores_schema"  # a completion with free text
    NO_LOGPROBS = "no_logprobs"  # the right answer without the log-probabilities that were asked for
    REFUSAL = "refusal"
    TRUNCATION = "truncation"  # cut at max_tokens
    WRONG_BODY = "wrong_body"  # 200 with JSON that is no completion
    GARBAGE = "garbage"  # 200 with what is no JSON
    UNAUTHORISED = "unauthorised"  # 401
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    QUOTA = "quota"  # 429 insufficient_quota
    SERVER_ERROR = "server_error"  # 500


def as_json(value: Any) -> bytes:
    """Return a value as the body of a reply."""
    return json.dumps(value).encode()


def reply_of(toxic: Toxic, body: Mapping[str, Any]) -> tuple[int, bytes]:
    """Return status and body of the reply to the request ``body``: what a toxic has in store, else the answer its schema asks for."""
    if toxic in CANNED:
        return CANNED[toxic]
    return 200, _obedient(json.dumps(body.get("response_format")), bool(body.get("logprobs")))


@lru_cache(maxsize=64)  # most requests of a test have the same schema
def _obedient(response_format: str, logprobs: bool) -> bytes:  # noqa: FBT001  # part of the cache's key
    return as_json(obedient_completion({"response_format": json.loads(response_format), "logprobs": logprobs}))


def _error(message: str, code: str) -> bytes:
    return as_json({"error": {"message": message, "code": code}})


CANNED: dict[Toxic, tuple[int, bytes]] = {
    Toxic.WRONG_SCHEMA: (200, as_json(completion('{"colour":"blue"}'))),
    Toxic.IGNORES_SCHEMA: (200, as_json(completion("Hello! How can I help you today?"))),
    Toxic.REFUSAL: (200, as_json(completion("", refusal="I cannot help with that."))),
    Toxic.TRUNCATION: (200, as_json(completion('{"category":', finish="length"))),
    Toxic.WRONG_BODY: (200, as_json({"hello": "world"})),
    Toxic.GARBAGE: (200, b"<html>It works!</html>"),
    Toxic.UNAUTHORISED: (401, _error("no such key", "invalid_api_key")),
    Toxic.RATE_LIMITED: (429, _error("slow down", "rate_limit_exceeded")),
    Toxic.QUOTA: (429, _error("no money", "insufficient_quota")),
    Toxic.SERVER_ERROR: (500, _error("oops", "server_error")),
}
