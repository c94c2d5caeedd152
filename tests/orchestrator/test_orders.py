"""Order lookups: in memory, in a database, and behind HTTP on a real socket that misbehaves."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine
from support import free_port

from orchestrator.errors import OrchestratorError
from orchestrator.service.connect_orders import open_orders
from orchestrator.service.http_orders import MAX_BYTES, HttpOrders
from orchestrator.service.order_numbers import order_key
from orchestrator.service.orders import LocalOrders, Order, OrderLookupError, packaged_orders, read_orders
from orchestrator.service.table_orders import TableOrders, seed

ORDER = {"number": "ORD-1", "status": "shipped", "carrier": "post", "expected": "today", "price": 5}
LIMIT_S = 0.3
PATIENCE_S = 20.0  # far beyond the limit: a call that hangs fails its test, a slow machine does not


def answer(body: bytes | str, status: str = "200 OK", headers: str = "") -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n".encode() + body


class System:
    """An order system that answers each request with the bytes it is told, all at once or dripping, and remembers what it was asked."""

    def __init__(self, *, reply: bytes = b"", drip: bytes = b"", hang: bool = False) -> None:
        self.requests: list[str] = []
        self._reply, self._drip, self._hang = reply, drip, hang
        self._done = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._done.set()
        self._socket.close()

    def _serve(self) -> None:
        while not self._done.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(connection.recv(65536).decode())
                connection.sendall(self._reply)
                while self._drip and not self._done.wait(0.05):
                    connection.sendall(self._drip)
                if self._hang:
                    self._done.wait()
            except OSError:
                pass


@contextmanager
def asked(system: System, **settings):
    orders = HttpOrders(system.url + "/api/", timeout_s=settings.pop("timeout_s", PATIENCE_S), **settings)
    try:
        yield orders
    finally:
        orders.close()
        system.close()


def test_an_order_is_asked_for_once_by_its_quoted_number_with_the_key():
    system = System(reply=answer(json.dumps({**ORDER, "number": "a/1 2"})))
    with asked(system, api_key="s3cret") as orders:
        assert orders("A/1 2").status == "shipped"
    (request,) = system.requests
    assert request.startswith("GET /api/orders/A%2F1%202 HTTP/1.1\r\n")
    assert "Authorization: Bearer s3cret\r\n" in request


def test_fields_we_do_not_know_are_left_aside():
    with asked(System(reply=answer(json.dumps(ORDER)))) as orders:
        assert orders("ord1") == Order(number="ORD-1", status="shipped", carrier="post", expected="today")


def test_404_is_no_order():
    with asked(System(reply=answer("{}", "404 Not Found"))) as orders:
        assert orders("1234") is None


@pytest.mark.parametrize("number", ["", "..", "../..", "//", "%"])
def test_what_is_no_number_is_not_asked(number):
    system = System()
    with asked(system) as orders:
        assert orders(number) is None
    assert system.requests == []


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer("oops", "500 Internal Server Error"), "status 500"),
        (answer("", "401 Unauthorized"), "status 401"),
        (answer("", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "status 302"),
        (answer("<html>hello</html>"), "no JSON"),
        (answer("[1, 2]"), "no order"),
        (answer("[" * 50_000), "no JSON"),
        (answer("{}"), "no order"),
        (answer(b"\xff\xfe\x00"), "no JSON"),
        (answer('{"status": ["shipped"]}'), "no order"),
        (answer('{"number": "9", "status": "shipped"}'), "another order"),
        (answer(json.dumps({"status": "x" * (MAX_BYTES + 1)})), "more than"),
        (b"this is not HTTP\r\n\r\n", "cannot be asked"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "cannot be asked"),
        (b"", "cannot be asked"),
    ],
)
def test_an_answer_that_is_no_order_is_an_error_and_is_not_asked_again(reply, said):
    system = System(reply=reply)
    with asked(system, api_key="s3cret") as orders, pytest.raises(OrderLookupError, match=said) as raised:
        orders("1234567")
    assert len(system.requests) == 1
    assert "1234567" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "system",
    [
        {"hang": True},
        {"reply": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "drip": b" "},
        {"reply": b"HTTP/1.1 200 OK\r\nX-Drip: ", "drip": b"a"},
        {"reply": b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{", "hang": True},
    ],
    ids=["hangs", "drips its body", "drips its headers", "stops halfway"],
)
def test_a_system_that_hangs_or_drips_is_given_up_at_the_time_limit(system):
    with asked(System(**system), timeout_s=LIMIT_S) as orders:
        started = time.monotonic()
        with pytest.raises(OrderLookupError, match=r"no answer within 0\.3 s"):
            orders("1234")
        assert time.monotonic() - started < PATIENCE_S


def test_nobody_listening_is_an_error():
    orders = HttpOrders(f"http://127.0.0.1:{free_port()}", timeout_s=PATIENCE_S)
    with pytest.raises(OrderLookupError, match="cannot be asked"):
        orders("1234")
    orders.close()


def test_threads_share_a_lookup_and_a_slow_answer_holds_up_no_other():
    slow, quick = System(hang=True), System(reply=answer(json.dumps(ORDER)))
    with asked(slow, timeout_s=LIMIT_S) as hanging, asked(quick) as orders, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(hanging, "1") for _ in range(4)]
        assert [order.number for order in pool.map(orders, ["ORD-1"] * 20)] == ["ORD-1"] * 20
        assert all(isinstance(call.exception(), OrderLookupError) for call in waiting)


def test_a_closed_lookup_says_so():
    orders = HttpOrders("http://127.0.0.1:1")
    orders.close()
    orders.close()
    with pytest.raises(OrderLookupError, match="closed"):
        orders("1234")


@pytest.fixture
def table(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'orders.db'}")
    seed(engine)
    orders = TableOrders(engine)
    yield orders
    orders.close()


def test_a_seeded_table_finds_an_order_however_it_is_spelt(table):
    assert table("ord 100234") == table("ORD-100234") == packaged_orders()[0]
    assert table("ORD-999999") is None
    assert not table.blocking


def test_seeding_again_replaces_the_rows(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'orders.db'}")
    assert seed(engine) == len(packaged_orders())
    assert seed(engine, [Order(number="7", status="new")]) == 1
    assert TableOrders(engine)("ORD-100234") is None
    engine.dispose()


def test_a_database_without_the_table_is_an_error(tmp_path):
    orders = TableOrders.at(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(OrderLookupError, match="seeded"):
        orders("1234")
    orders.close()


def test_orders_in_memory_are_found_however_they_are_spelt():
    orders = LocalOrders([Order(number="RT-77", status="new")])
    assert orders("rt 77") == orders("RT77")
    assert orders("78") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [("8812,,,", "no order"), ("8812,new,,,more", "no order"), ("RT-77,new,,", "given twice")],
    ids=["empty", "long", "twice"],
)
def test_a_wrong_line_of_an_orders_file_is_named(tmp_path, line, said):
    path = tmp_path / "orders.csv"
    path.write_text(f"number,status,carrier,expected\nRT77,new,,\n{line}\n", encoding="utf-8")
    with pytest.raises(OrchestratorError, match=rf"orders\.csv:3: .*{said}"):
        read_orders(path)


def test_the_environment_names_the_order_system(tmp_path):
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    seed(create_engine(url))
    local, table = open_orders({}), open_orders({"ORDERS_URL": url})
    http = open_orders({"ORDERS_URL": "https://orders.example/v1", "ORDERS_API_KEY": "k", "ORDERS_TIMEOUT_S": "0.5"})
    assert [lookup.blocking for lookup in (local, table, http)] == [False, False, True]
    assert local("ORD-100234") == table("ORD-100234")
    for lookup in (local, table, http):
        lookup.close()


@pytest.mark.parametrize(
    "environment",
    [
        {"ORDERS_URL": "http://"},
        {"ORDERS_URL": "nonsense"},
        {"ORDERS_URL": "strange+db://u:hunter2@host/x"},
        {"ORDERS_URL": "http://host", "ORDERS_TIMEOUT_S": "soon"},
        {"ORDERS_URL": "http://host", "ORDERS_TIMEOUT_S": "0"},
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_without_its_password(environment):
    with pytest.raises(OrchestratorError, match="ORDERS_URL or ORDERS_TIMEOUT_S") as raised:
        open_orders(environment)
    assert "hunter2" not in str(raised.value)


def test_the_key_of_a_number_is_its_letters_and_digits():
    assert order_key("ord-100 234/b") == "ORD100234B"
