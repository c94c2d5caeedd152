"""The verbs about what other systems are told."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.commands.opening import ledger_of
from orchestrator.commands.printing import print_json, print_table, tell
from orchestrator.commands.verbs import Verbs, at_least_one

if TYPE_CHECKING:
    from orchestrator.store.ledger import Ledger

SHOWN = ("id", "topic", "request_id", "status", "attempts", "created_at", "next_attempt_at", "last_error")


def add_verbs(verbs: Verbs) -> None:
    """Add ``relay``, and ``outbox`` with its verbs."""
    relay = verbs.add(
        "relay",
        do_relay,
        "deliver what the outbox holds to the webhooks, and page overdue escalations, until stopped",
        examples=("relay", "relay --once --json"),
        more="WEBHOOK_TICKETS_URL, WEBHOOK_PAGING_URL and WEBHOOK_SECRET say where to. Ctrl-C ends it when what is under way has ended.",
    )
    relay.add_argument("--once", action="store_true", help="deliver what is due now and end; exit 1 when something was given up")
    group, _ = verbs.group("outbox", "list what other systems are told, or send dead letters again")
    listing = group.add("list", do_list, "list the newest messages, without their content", examples=("outbox list --dead",))
    listing.add_argument("--dead", action="store_true", help="only those that were given up")
    listing.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="how many (default: %(default)s)")
    redrive = group.add(
        "redrive", do_redrive, "make dead letters due again: all, or those named", examples=("outbox redrive", "outbox redrive 17 18")
    )
    redrive.add_argument("ids", nargs="*", type=int, metavar="ID", help="as `outbox list --dead` shows them")


def do_relay(options: argparse.Namespace) -> int:
    """Deliver messages once, or until stopped."""
    with ledger_of(options) as ledger:
        if not options.once:
            asyncio.run(_until_stopped(ledger, options.environment))
            return 0
        overdue = ledger.alert_overdue()
        total = asyncio.run(_once(ledger, options.environment))
    if options.json:
        print_json(total | {"overdue": overdue})
    else:
        print(f"{total['delivered']} delivered, {total['retried']} to be tried again, {total['dead']} given up; {overdue} newly overdue")
    return 1 if total["dead"] else 0


def do_list(options: argparse.Namespace) -> int:
    """Print the newest outbox messages, newest first."""
    from orchestrator.store.database import reading
    from orchestrator.store.listings import list_outbox

    with ledger_of(options) as ledger, reading(ledger.engine) as connection:
        found = list_outbox(connection, dead=options.dead, limit=options.limit)
    if options.json:
        print_json(found)
    else:
        print_table(SHOWN, found, empty="there are no dead letters" if options.dead else "the outbox is empty")
    return 0


def do_redrive(options: argparse.Namespace) -> int:
    """Make dead letters due again."""
    with ledger_of(options) as ledger:
        count = ledger.redrive(options.ids or None)
    if options.json:
        print_json({"redriven": count})
    else:
        print(f"{count} dead letter(s) are due again; the relay delivers them")
    return 0


async def _once(ledger: Ledger, environment: Mapping[str, str]) -> Counter[str]:
    from orchestrator.relay import Delivered, open_relay

    total: Counter[str] = Counter(Delivered().model_dump())
    async with open_relay(ledger, environment) as relay:
        while (one := await relay.run_once()) != Delivered():  # what is to be tried again is due later, so this ends
            total.update(one.model_dump())
    return total


async def _until_stopped(ledger: Ledger, environment: Mapping[str, str]) -> None:
    from orchestrator.relay import open_relay

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")  # it runs unattended
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it logs each URL, and a webhook's may hold a token
    async with open_relay(ledger, environment) as relay:
        tell("the relay delivers; Ctrl-C ends it")
        await relay.run(stop)
    tell("the relay has ended")
