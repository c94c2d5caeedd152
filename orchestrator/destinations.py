"""Where the outbox's messages go: ``environment -> Destinations``, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Record
from orchestrator.store.outbox import Topic

TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 60.0  # a receiver that needs longer answers 202 and works afterwards
VARIABLES: dict[str, tuple[Topic, ...]] = {
    "WEBHOOK_TICKETS_URL": (Topic.TICKET_OPENED,),
    "WEBHOOK_PAGING_URL": (Topic.ESCALATION_OPENED, Topic.ESCALATION_OVERDUE),
}


class Destination(Record):
    """A receiver and the topics it is told. The URL is not shown: some services put a token into it."""

    name: str
    url: str = Field(repr=False)
    topics: tuple[Topic, ...]


class Destinations(Record):
    """All receivers, the secret that signs what they are sent, and how long one delivery may take, from first to last byte."""

    receivers: tuple[Destination, ...] = ()
    secret: str = Field(default="", repr=False)
    timeout_s: float = TIMEOUT_S

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Destinations:
        """Read ``WEBHOOK_TICKETS_URL``, ``WEBHOOK_PAGING_URL``, ``WEBHOOK_SECRET``, ``WEBHOOK_TIMEOUT_S`` and ``WEBHOOK_ALLOW_HTTP``.

        There are none where no URL is set. Raises ``OrchestratorError`` for a URL that cannot be sent to or must not be, for a URL
        without a secret, and for a time that is none.
        """
        allow_http = environment.get("WEBHOOK_ALLOW_HTTP", "").strip() == "1"
        found = []
        for variable, topics in VARIABLES.items():
            if url := environment.get(variable, "").strip():
                _check(variable, url, allow_http=allow_http)
                found.append(Destination(name=variable.split("_")[1].lower(), url=url, topics=topics))
        secret = environment.get("WEBHOOK_SECRET", "").strip()
        if found and not secret:
            raise OrchestratorError("WEBHOOK_SECRET is not set: receivers know by it who sent a message; make one: openssl rand -hex 32")
        return cls(receivers=tuple(found), secret=secret, timeout_s=_timeout_s(environment.get("WEBHOOK_TIMEOUT_S", "")))

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics that have a receiver; messages of others wait in the outbox."""
        return tuple(topic for destination in self.receivers for topic in destination.topics)


def _check(variable: str, url: str, *, allow_http: bool) -> None:
    """Raise ``OrchestratorError`` for a URL that is none or that is not safe; it never repeats the URL, which may hold a token."""
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
        _ = parts.port  # raises for a port that is no number up to 65535
    except ValueError as error:
        raise OrchestratorError(f"{variable} is no URL ({error}): write https://HOST/PATH") from None
    if scheme not in {"http", "https"}:
        raise OrchestratorError(f"{variable} begins with {scheme + ':' if scheme else 'no scheme'}: write https://HOST/PATH")
    if not host or not url.isprintable() or " " in url:
        raise OrchestratorError(f"{variable} names no host, or holds a space or a control character: write https://HOST/PATH")
    if scheme == "http" and not allow_http and not is_loopback(host):
        raise OrchestratorError(
            f"{variable} would send customers' data to {host} unencrypted: use https, or WEBHOOK_ALLOW_HTTP=1 inside a network you trust"
        )


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _timeout_s(text: str) -> float:
    try:
        seconds = float(text.strip() or TIMEOUT_S)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise OrchestratorError(f"WEBHOOK_TIMEOUT_S is {text!r}: write a number of seconds above 0 and up to {MAX_TIMEOUT_S:g}")
    return seconds
