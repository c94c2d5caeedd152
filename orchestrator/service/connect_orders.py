"""Open the order system that the environment names."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from orchestrator.errors import OrchestratorError
from orchestrator.service.orders import LocalOrders, OrderLookup
from orchestrator.service.table_orders import TableOrders

DEFAULT_TIMEOUT_S = 2.0  # a customer waits for the answer; without the order the ticket is opened all the same


def open_orders(environ: Mapping[str, str]) -> OrderLookup:
    """Return the order lookup: of the HTTP system or the database at ORDERS_URL, else the packaged demonstration orders.

    ORDERS_API_KEY is sent to an HTTP system as bearer token, ORDERS_TIMEOUT_S (seconds) bounds each call to it. Raises
    ``OrchestratorError`` for a value that cannot be used; close what is returned.
    """
    url = environ.get("ORDERS_URL", "").strip()
    if not url:
        return LocalOrders.packaged()
    try:
        if not url.lower().startswith(("http://", "https://")):
            return TableOrders.at(url)
        from orchestrator.service.http_orders import HttpOrders

        timeout_s = float(environ.get("ORDERS_TIMEOUT_S") or DEFAULT_TIMEOUT_S)
        return HttpOrders(url, timeout_s=timeout_s, api_key=environ.get("ORDERS_API_KEY") or None)
    except (ValueError, ArgumentError, NoSuchModuleError, ImportError) as error:  # the error's text may hold the URL's password
        detail = str(error) if type(error) is ValueError else type(error).__name__
        raise OrchestratorError(f"ORDERS_URL or ORDERS_TIMEOUT_S cannot be used: {detail}") from None
