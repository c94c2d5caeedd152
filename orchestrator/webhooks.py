"""One webhook: ``Due -> Answer``. What is sent is signed, and what the receiver answers says what becomes of the message."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.destinations import Destination, Destinations
from orchestrator.schema import Record
from orchestrator.store.outbox import Due

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

    Client: TypeAlias = AsyncClient  # so that nobody else need import httpx2

MAX_ANSWER_BYTES = 64 * 1024
TOLERANCE_S = 300.0  # how far a receiver's clock may be off, and for how long a recorded message can be played to it again
KNOWN = 409  # the receiver has the message already: a repetition after a lost answer
PASSING = frozenset({408, 425, 429})  # the only 4xx that can be otherwise another time: timeout, too early, too many


class Answer(Record):
    """How one delivery ended. ``error`` names a status or the kind of a failure, never what was sent or answered."""

    delivered: bool
    error: str = ""
    final: bool = False  # not delivered, and trying again is of no use
    retry_after_s: float | None = None


def verify_signature(secret: str, timestamp: str, body: bytes, signature: str, now: datetime, *, tolerance_s: float = TOLERANCE_S) -> bool:
    """Say whether a body was signed with the secret, at most ``tolerance_s`` seconds from ``now``; for receivers.

    ``timestamp`` and ``signature`` are the headers ``X-Timestamp`` and ``X-Signature``. The signatures are compared in constant time.
    """
    genuine = hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode("utf-8", "surrogatepass"))
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16  # more digits are no time of this age
    return genuine and is_number and abs(now.timestamp() - int(timestamp)) <= tolerance_s


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return ``sha256=`` and the hexadecimal HMAC-SHA-256 (RFC 2104) of the timestamp, a dot and the body."""
    signed = timestamp.encode("utf-8", "surrogatepass") + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def body_of(message: Due) -> bytes:
    """Return what is sent about a message: the same bytes at every attempt."""
    told = {
        "id": message.key,
        "topic": message.topic.value,
        "request_id": message.request_id,
        "created_at": message.created_at.isoformat(),
        "payload": message.payload,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def open_client() -> Client:
    """Return a client for webhooks, to be closed with ``aclose``: no redirects, and a new connection for every delivery.

    A receiver that answers twice on a kept connection would answer the next message with what it said of this one, and a page could
    count as delivered that never was.
    """
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)  # the relay bounds how many there are
    return httpx2.AsyncClient(follow_redirects=False, timeout=None, limits=limits)  # the whole delivery has a deadline


class Webhook:
    """Delivers messages to one destination; each delivery ends within the timeout, whatever the receiver does."""

    def __init__(self, destination: Destination, settings: Destinations, client: Client, clock: Callable[[], datetime]) -> None:
        """Send through ``client`` (see ``open_client``)."""
        self._url = destination.url
        self._secret = settings.secret
        self._timeout_s = settings.timeout_s
        self._client = client
        self._clock = clock

    async def __call__(self, message: Due, /) -> Answer:
        """Deliver one message and return how that ended; it raises nothing but being cancelled."""
        import httpx2

        answer = None
        body = body_of(message)
        post = self._client.stream("POST", self._url, content=body, headers=self._headers(message.key, body), follow_redirects=False)
        try:
            async with asyncio.timeout(self._timeout_s), post as response:
                answer = self._answer(response)
                await _drain(response)
        except TimeoutError:
            failed = f"no answer within {self._timeout_s:g} s"
        except (httpx2.HTTPError, OSError) as error:
            failed = f"{type(error).__name__}: connection lost or refused"
        except Exception as error:  # noqa: BLE001  # whatever one delivery comes to, the others go on; its text could quote the payload
            failed = f"{type(error).__name__} while it was sent"
        # With the status line the receiver has said what it did; how the rest of its answer went changes nothing.
        return answer or Answer(delivered=False, error=failed)

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock().timestamp()))
        return {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Idempotency-Key": key,
            "X-Timestamp": timestamp,
            "X-Signature": sign(self._secret, timestamp, body),
        }

    def _answer(self, response: Response) -> Answer:
        status = response.status_code
        if response.is_success or status == KNOWN:
            return Answer(delivered=True)
        final = response.is_client_error and status not in PASSING
        asked = None if final else retry_after_s(response.headers.get("Retry-After", ""), self._clock())
        return Answer(delivered=False, error=f"HTTP {status}", final=final, retry_after_s=asked)


async def _drain(response: Response) -> None:
    """Read an answer to its end, so that the receiver is not cut off while it writes, but no more than ``MAX_ANSWER_BYTES``."""
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > MAX_ANSWER_BYTES:
            return


def retry_after_s(text: str, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3: a number or a date); None where it is neither."""
    if text.isascii() and text.strip().isdigit():
        return float(text) if len(text) < 16 else math.inf
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds(), 0.0)
