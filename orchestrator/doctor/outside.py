"""Look at the systems outside: who is told of tickets and escalations, and where orders are looked up."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestrator.connect import DEMO_ORDERS
from orchestrator.destinations import VARIABLES, Destination, Destinations
from orchestrator.doctor.finding import Finding, fail, ok, warn
from orchestrator.errors import OrchestratorError

PATIENCE_S = 3.0


def check_outside(environment: Mapping[str, str]) -> list[Finding]:
    """Look at webhooks (a connection is opened, nothing is sent) and at the order system."""
    return [*_webhooks(environment), _orders()]


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


def _orders() -> Finding:
    told = f"looked up among {len(DEMO_ORDERS)} demonstration orders in memory"
    return warn("orders", told, "connect the order system: an `OrderLookup` in orchestrator/connect.py")
