"""Orders in a table of a database, by SQLAlchemy: SQLite beside the service, or the database of a shop."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, Engine, MetaData, String, Table, create_engine, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.service.order_numbers import order_key
from orchestrator.service.orders import Order, OrderLookupError, packaged_orders

_METADATA = MetaData()
ORDERS = Table(
    "orders",
    _METADATA,
    Column("key", String(64), primary_key=True),  # the number's letters and digits alone: customers leave the joints out
    Column("number", String(64), nullable=False),
    Column("status", String(64), nullable=False),
    Column("carrier", String(64)),
    Column("expected", String(64)),
)
_FOUND = select(*(ORDERS.c[name] for name in Order.model_fields))


class TableOrders:
    """Look orders up in the table ``orders`` of a database."""

    def __init__(self, engine: Engine) -> None:
        """Use ``engine``, whose table :func:`seed` makes."""
        self._engine = engine
        self.blocking = engine.dialect.name != "sqlite"  # a file beside the process answers faster than a thread starts

    @classmethod
    def at(cls, url: str) -> TableOrders:
        """Look up in the database at an URL."""
        return cls(create_engine(url, hide_parameters=True))

    def __call__(self, order_number: str, /) -> Order | None:
        """Return the order, or None; raise ``OrderLookupError`` when the database does not answer or has no such table."""
        try:
            with self._engine.connect() as connection:
                row = connection.execute(_FOUND.where(ORDERS.c.key == order_key(order_number))).mappings().first()
        except SQLAlchemyError as error:
            raise OrderLookupError(f"the orders' table does not answer ({type(error).__name__}): is it there, and seeded?") from None
        return Order(**row) if row else None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def seed(engine: Engine, orders: Iterable[Order] | None = None) -> int:
    """Make the table where it is missing, put ``orders`` (else the packaged ones) in place of its rows, and return how many there are."""
    _METADATA.create_all(engine)
    rows = [{"key": order_key(order.number), **order.model_dump()} for order in (packaged_orders() if orders is None else orders)]
    with engine.begin() as connection:
        connection.execute(delete(ORDERS))
        if rows:
            connection.execute(insert(ORDERS), rows)
    return len(rows)
