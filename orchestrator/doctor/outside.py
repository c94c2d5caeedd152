"""Look at the systems outside: who is told of tickets and escalations, and where orders are looked up."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.destinations import VARIABLES, Destination, Destinations
from orchestrator.doctor.finding import Finding, fail, looked_at, ok, warn
from orchestrator.errors import OrchestratorError
from orchestrator.service.connect_orders import open_orders
from orchestrator.service.orders import OrderLookupError, packaged_orders

PATIENCE_S = 3.0
NO_ORDER = "ORD-000000"


def check_outside(environment: Mapping[str, str]) -> list[Finding]:
    """Look at webhooks (a connection is opened, nothing is sent) and at the order system (asked for an order that does not exist)."""
    return [*_webhooks(environment), looked_at("orders", lambda: _orders(environment))]


def _webhooks(environment: Mapping[str, str]) -> list[Finding]:
    try:
        destinations = Destinations.of(environment)
    except OrchestratorError as error:
        return [fail("webhooks", str(error), "until it is mended nobody is told of anything")]
    if not destinations.receivers:
        told = "none is set: tickets and pages wait in the outbox, and nobody is told"
        return [warn("webhooks", told, f"set {' and '.join(VARIABLES)}, and run `relay`")]
    return [_reached(one) for one in destinations.receivers]


def _reached(destination: Destination) -> Finding:
    parts = urlsplit(destination.url)
    name, port = f"webhook of {destination.name}", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=PATIENCE_S).close()
    except OSError as error:
        why = error.strerror or type(error).__name__
        return fail(name, f"{parts.hostname}:{port} does not answer ({why})", "check the URL, the network and the receiver")
    return ok(name, f"{parts.hostname}:{port} answers; told of {', '.join(topic.value for topic in destination.topics)}")


def _orders(environment: Mapping[str, str]) -> Finding:
    """Look an order up that does not exist: whoever says so can be asked."""
    url = environment.get("ORDERS_URL", "").strip()
    if not url:
        advice = "set ORDERS_URL to the order system; until then no real order is found"
        return warn("orders", f"looked up among {len(packaged_orders())} demonstration orders", advice)
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():  # opening it would make it
        return fail("orders", "the file that ORDERS_URL names is not there", "correct ORDERS_URL")
    orders = open_orders(environment)
    try:
        orders(NO_ORDER)
    except OrderLookupError as error:
        return fail("orders", str(error), "tickets are opened without the order's state until ORDERS_URL answers")
    finally:
        orders.close()
    return ok("orders", "the order system at ORDERS_URL answers")
