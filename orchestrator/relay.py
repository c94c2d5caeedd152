"""The relay: what the outbox holds is delivered at least once, and overdue escalations are paged.

Each destination has a lane of its own, so that a ticket desk that hangs holds up no page.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, TypeVar

from orchestrator.destinations import VARIABLES, Destinations
from orchestrator.errors import OrchestratorError, StoreUnavailableError
from orchestrator.lane import POLL_S, Lane
from orchestrator.schema import Record
from orchestrator.store.ledger import Ledger
from orchestrator.webhooks import Webhook, open_client

if TYPE_CHECKING:
    from orchestrator.webhooks import Client

T = TypeVar("T")
BATCH = 50  # messages that one pass takes for a destination
CONCURRENCY = 8  # deliveries under way at once for a destination
LEASE_MARGIN_S = 30.0  # beyond the delivery's timeout: for the database before and after it, and for clocks that differ
ALERT_EVERY_S = 30.0  # how often overdue escalations are looked for
MAX_PATIENCE_S = 30.0  # the longest wait between two attempts to reach a lost database
_log = logging.getLogger(__name__)


class Delivered(Record):
    """What came of the messages of one pass."""

    delivered: int = 0
    retried: int = 0  # to be tried again later
    dead: int = 0


@asynccontextmanager
async def open_relay(ledger: Ledger, environment: Mapping[str, str]) -> AsyncIterator[Relay]:
    """Yield the relay of a ledger with the destinations that the environment names; its connections are closed afterwards.

    Raises ``OrchestratorError`` when there are none, or for settings that are wrong: see ``Destinations.of``.
    """
    destinations = Destinations.of(environment)
    if not destinations.receivers:
        raise OrchestratorError(f"there is nobody to deliver to: set {' or '.join(VARIABLES)}")
    async with open_client() as client:
        yield Relay(ledger, destinations, client)


class Relay:
    """Delivers the messages of a ledger's outbox to their destinations. Several relays may work on one outbox."""

    def __init__(
        self,
        ledger: Ledger,
        destinations: Destinations,
        client: Client,
        random: Random | None = None,
        *,
        concurrency: int = CONCURRENCY,
        poll_s: float = POLL_S,
        alert_every_s: float = ALERT_EVERY_S,
    ) -> None:
        """Deliver through ``client`` (see ``webhooks.open_client``); ``random`` draws the waits between attempts."""
        self._ledger = ledger
        self._poll_s = poll_s
        self._alert_every_s = alert_every_s
        self._unserved = [topic.value for topics in VARIABLES.values() for topic in topics if topic not in destinations.topics]
        self._lanes = [
            Lane(
                ledger,
                one.topics,
                Webhook(one, destinations, client, ledger.clock),
                lease_s=destinations.timeout_s + LEASE_MARGIN_S,
                concurrency=concurrency,
                random=random or Random(),  # noqa: S311  # it spreads load
            )
            for one in destinations.receivers
        ]

    async def run_once(self) -> Delivered:
        """Deliver what is due, up to 50 messages for each destination, and return what came of it.

        Raises ``StoreUnavailableError`` when the database does not answer, after what was under way has ended.
        """
        passes = await asyncio.gather(*(lane.drain(limit=BATCH) for lane in self._lanes), return_exceptions=True)
        total: Counter[str] = Counter()
        for one in passes:
            if isinstance(one, BaseException):
                raise one
            total.update(one)
        return Delivered(**total)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver, and page overdue escalations, until ``stop`` is set and what is under way has ended; outlasts a lost database."""
        if self._unserved:
            _log.warning("no receiver is set for %s: these messages wait in the outbox", ", ".join(self._unserved))
        async with asyncio.TaskGroup() as group:
            group.create_task(forever(self._alert, stop, lambda _: self._alert_every_s))
            for lane in self._lanes:
                group.create_task(forever(partial(lane.drain, stop=stop), stop, lambda counts: 0.0 if counts else self._poll_s))

    async def _alert(self) -> None:
        if overdue := await asyncio.to_thread(self._ledger.alert_overdue):
            _log.warning("%d escalations are overdue and are paged", overdue)


async def forever(do: Callable[[], Awaitable[T]], stop: asyncio.Event, pause_s: Callable[[T], float]) -> None:
    """Do it again and again until ``stop`` is set, ``pause_s`` of what it returned apart, and longer apart while the database is lost."""
    lost_s = 0.0
    while not stop.is_set():
        try:
            wait_s, lost_s = pause_s(await do()), 0.0
        except StoreUnavailableError as error:
            wait_s = lost_s = min(2 * lost_s or 1.0, MAX_PATIENCE_S)
            _log.warning("the relay waits %.0f s for the database: %s", wait_s, error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
