"""The port to the order system: ``order number -> Order | None``. The adapters are in ``table_orders`` and ``http_orders``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Protocol, Self

from pydantic import Field, ValidationError

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Record
from orchestrator.service.order_numbers import order_key

SEED = Path(__file__).with_name("orders.csv")


class Order(Record):
    """What an order system knows of an order. The texts are the system's and are shown to staff only."""

    number: str = Field(min_length=1, max_length=64)
    status: str = Field(min_length=1, max_length=64)
    carrier: str | None = Field(default=None, max_length=64)
    expected: str | None = Field(default=None, max_length=64)

    def summary(self) -> str:
        """Return the order in one line."""
        parts = (self.status, self.carrier and f"with {self.carrier}", self.expected and f"expected {self.expected}")
        return ", ".join(part for part in parts if part)


class OrderLookupError(OrchestratorError):
    """The order system gave no answer, or none that can be understood. The text names no order and no key."""


class OrderLookup(Protocol):
    """Anything that finds an order by its number, however it is spelt."""

    @property
    def blocking(self) -> bool:
        """Say whether a call may wait for another machine, so that an event loop must run it in a thread."""
        ...

    def __call__(self, order_number: str, /) -> Order | None:
        """Return the order, or None where there is none of this number; raise ``OrderLookupError``."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class LocalOrders:
    """Orders held in memory: the adapter until a real system is connected."""

    blocking = False

    def __init__(self, orders: Iterable[Order] = ()) -> None:
        """Hold ``orders``."""
        self._orders = {order_key(order.number): order for order in orders}

    @classmethod
    def packaged(cls) -> Self:
        """Hold the packaged demonstration orders."""
        return cls(packaged_orders())

    def __call__(self, order_number: str, /) -> Order | None:
        """Return the order, or None."""
        return self._orders.get(order_key(order_number))

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


@cache
def packaged_orders() -> tuple[Order, ...]:
    """Return the demonstration orders of ``orders.csv``."""
    return read_orders(SEED)


def read_orders(path: Path) -> tuple[Order, ...]:
    """Read orders from a CSV file with the columns of ``Order``; raise ``OrchestratorError`` with file:line for a wrong one."""
    orders: dict[str, Order] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                order = Order.model_validate({name: value or None for name, value in row.items()})
            except (ValidationError, TypeError) as error:
                raise OrchestratorError(f"{path}:{reader.line_num}: no order: {error}") from None
            if orders.setdefault(order_key(order.number), order) is not order:
                raise OrchestratorError(f"{path}:{reader.line_num}: order {order.number} is given twice")
    return tuple(orders.values())
