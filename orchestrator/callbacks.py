"""Callbacks: who queued a message is told how its job ended, signed and retried as webhooks are, at a URL of an allowed host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.destinations import Destination, Destinations, is_loopback
from orchestrator.errors import InputError, OrchestratorError
from orchestrator.lane import POLL_S, Lane
from orchestrator.relay import CONCURRENCY, LEASE_MARGIN_S, forever
from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import Due, Topic
from orchestrator.webhooks import Answer, Webhook, open_client

if TYPE_CHECKING:
    from orchestrator.webhooks import Client

MAX_URL_CHARS = 2_000
# What is left out are the characters that parsers disagree on: user@host, backslashes, blanks, anything but ASCII.
_URL = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][!-~]*)?")


def check_callback(url: str, hosts: Collection[str]) -> None:
    """Raise ``InputError``, which does not repeat the URL, where it may not be called: see ``docs/jobs.md``."""
    if len(url) > MAX_URL_CHARS or "\\" in url or not _URL.fullmatch(url):
        raise InputError(f"no URL that can be called back: write https://HOST/PATH, at most {MAX_URL_CHARS} characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InputError("no URL that can be called back: its host or port is none") from None
    if host not in {one.lower() for one in hosts}:
        raise InputError("this host may not be called back: it must be named in CALLBACK_HOSTS")
    if parts.scheme == "http" and not is_loopback(host):
        raise InputError("a callback must be https, or http to this machine")


class Callbacks:
    """Delivers ends of jobs, each to the URL that came with it."""

    def __init__(self, hosts: Collection[str], settings: Destinations, client: Client, clock: Callable[[], datetime]) -> None:
        """Send through ``client`` (see ``webhooks.open_client``), signed with the settings' secret, to ``hosts`` alone."""
        self._hosts, self._settings, self._client, self._clock = hosts, settings, client, clock

    async def __call__(self, message: Due, /) -> Answer:
        """Deliver one message; the URL is not part of what is sent."""
        payload = dict(message.payload)
        url = str(payload.pop("callback_url", ""))
        try:
            check_callback(url, self._hosts)  # again: the hosts may have changed since
        except InputError:
            return Answer(delivered=False, error="the host may not be called back (any more)", final=True)
        destination = Destination(name="callback", url=url, topics=(Topic.JOB_FINISHED,))
        return await Webhook(destination, self._settings, self._client, self._clock)(message.model_copy(update={"payload": payload}))


def callback_settings(environment: Mapping[str, str], hosts: Collection[str]) -> Destinations:
    """Return the secret and the time of a delivery, ``WEBHOOK_SECRET`` and ``WEBHOOK_TIMEOUT_S``.

    Raises ``OrchestratorError`` where hosts may be called and there is no secret to sign with.
    """
    settings = Destinations.of(environment)
    if hosts and not settings.secret:
        raise OrchestratorError("WEBHOOK_SECRET is not set, and CALLBACK_HOSTS is: it tells who is called who calls; openssl rand -hex 32")
    return settings


async def deliver_callbacks(ledger: Ledger, hosts: Collection[str], settings: Destinations, stop: asyncio.Event) -> None:
    """Deliver callbacks until ``stop`` is set and what is under way has ended; outlasts a lost database."""
    async with open_client() as client:
        lane = Lane(
            ledger,
            (Topic.JOB_FINISHED,),
            Callbacks(hosts, settings, client, ledger.clock),
            lease_s=settings.timeout_s + LEASE_MARGIN_S,
            concurrency=CONCURRENCY,
            random=Random(),  # noqa: S311  # it spreads load
        )
        await forever(partial(lane.drain, stop=stop), stop, lambda counts: 0.0 if counts else POLL_S)
