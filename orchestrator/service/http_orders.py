"""Orders of a system behind HTTP: ``GET {base_url}/orders/{number}``, 200 with JSON or 404.

A call is synchronous, as workflows are, and never takes longer than its deadline: it runs on an event loop of its own, where a
time limit covers everything, a name server that hangs and a body that drips included. The timeouts of a synchronous client do not.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import ValidationError

from orchestrator.service.order_numbers import order_key
from orchestrator.service.orders import Order, OrderLookupError

MAX_BYTES = 64 * 1024  # of a body: an order is a few hundred
CONNECTIONS = 32
_GRACE_S = 0.5  # for the loop to end a call by its own limit before the caller gives up on the loop


class HttpOrders:
    """Ask an order system, once a call and within ``timeout_s`` seconds. Threads may share one."""

    blocking = True

    def __init__(self, base_url: str, *, timeout_s: float = 2.0, api_key: str | None = None) -> None:
        """Ask the system at ``base_url``, with ``api_key`` as bearer token. Raises ``ValueError`` for what is no HTTP address."""
        if urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).hostname:
            raise ValueError("the address of an order system is of the form http://host/path or https://host/path")
        if timeout_s <= 0:
            raise ValueError(f"a time limit of {timeout_s:g} s lets no call through")
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # the bound on a body is on what is read
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._client = httpx2.AsyncClient(
            headers=headers | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=timeout_s,
            limits=limits,
            follow_redirects=False,
            trust_env=False,  # no password of a .netrc, no proxy made for other traffic
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="order-lookup", daemon=True)
        self._thread.start()

    def __call__(self, order_number: str, /) -> Order | None:
        """Return the order, or None for 404; raise ``OrderLookupError`` for everything else that is no order."""
        if not order_key(order_number):
            return None  # "..": no number, and part of a path
        if self._loop.is_closed():
            raise OrderLookupError("the connection to the order system is closed")
        call = asyncio.run_coroutine_threadsafe(self._ask(order_number), self._loop)
        try:
            return call.result(self._timeout_s + _GRACE_S)
        except FutureTimeoutError:
            call.cancel()
            raise OrderLookupError(f"the order system gave no answer within {self._timeout_s:g} s") from None

    def close(self) -> None:
        """Close the connections and end the loop."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ask(self, order_number: str) -> Order | None:
        url = f"{self._base_url}/orders/{quote(order_number, safe='')}"
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("GET", url) as response:
                if response.status_code == httpx2.codes.NOT_FOUND:
                    return None
                if response.status_code != httpx2.codes.OK:
                    raise OrderLookupError(f"the order system answered with status {response.status_code}")
                return _order(await _body(response), order_number)
        except TimeoutError:
            raise OrderLookupError(f"the order system gave no answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise OrderLookupError(f"the order system cannot be asked ({type(error).__name__})") from None


async def _body(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise OrderLookupError(f"the order system answered with more than {MAX_BYTES} bytes")
    return body


def _order(body: bytes, order_number: str) -> Order:
    """Read an order; fields that we do not know are left aside, a number that was not asked for is an error."""
    try:
        told: Any = json.loads(body)
        order = Order.model_validate({"number": order_number} | {name: told[name] for name in Order.model_fields if name in told})
    except (ValueError, TypeError, RecursionError) as error:  # ValidationError is a ValueError
        kind = "no order" if isinstance(error, ValidationError) else "no JSON object"
        raise OrderLookupError(f"the order system answered with {kind}: {type(error).__name__}") from None
    if order_key(order.number) != order_key(order_number):
        raise OrderLookupError("the order system answered with another order than the one asked for")
    return order
