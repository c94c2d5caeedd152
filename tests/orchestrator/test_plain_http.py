"""Promises: an answer over a kept connection is what the server said, whole, or an error of httpx2; a connection is never used wrongly."""

import asyncio
import gzip

import httpx2
import pytest

from orchestrator import plain_http
from orchestrator.plain_http import KeptConnections

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ZIPPED = gzip.compress(b"ok", mtime=0)


class Server:
    """Answers each request with the next of some bytes, and closes where they end with ``None``; counts its connections."""

    def __init__(self, *answers, wait_s=0.0):
        self._answers, self._wait_s = list(answers), wait_s
        self.connections = self.at_once = self.most = 0
        self.seen = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/path?a=b"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while self._answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append(head)
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
                self.at_once += 1
                self.most = max(self.most, self.at_once)
                await asyncio.sleep(self._wait_s)
                self.at_once -= 1
                answer = self._answers.pop(0)
                writer.write(answer or b"")
                if answer is None or b"closes" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def client(most=4):
    return httpx2.AsyncClient(transport=KeptConnections(most))


async def post(http, server, **more):
    return await http.post(server.url, content=b"body", **more)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (OK, "ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "ok"),
        (b"HTTP/1.1 200 OK\r\nX: closes\r\n\r\nok", "ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(ZIPPED), ZIPPED), "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ],
)
def test_an_answer_is_read_whole_however_its_end_is_told(answer, text):
    async def go():
        async with Server(answer) as server, client() as http:
            return await post(http, server)

    assert asyncio.run(go()).text == text


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: closes\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: closes\r\n\r\n1\r\no\r\n",
        b"nonsense closes\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_half_an_answer_and_none_is_an_error(answer):
    async def go():
        async with Server(answer) as server, client() as http:
            with pytest.raises((httpx2.RemoteProtocolError, httpx2.DecodingError)):
                await post(http, server)

    asyncio.run(go())


def test_nobody_there_is_an_error_of_connecting():
    async def go():
        async with Server() as server, client() as http:
            server._server.close()
            await server._server.wait_closed()
            with pytest.raises(httpx2.ConnectError):
                await post(http, server)

    asyncio.run(go())


def test_a_connection_is_used_again_and_the_request_is_the_same():
    async def go():
        async with Server(OK, OK, OK) as server, client() as http:
            for _ in range(3):
                assert (await post(http, server, headers={"X-Mine": "1"})).text == "ok"
            return server

    server = asyncio.run(go())
    assert server.connections == 1
    assert server.seen[0] == server.seen[2]
    assert server.seen[0].startswith(b"POST /path?a=b HTTP/1.1\r\n")
    assert b"X-Mine: 1\r\n" in server.seen[0]


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK + b"more than was asked for"])
def test_a_connection_that_ends_or_says_too_much_is_not_used_again(first):
    async def go():
        async with Server(first, OK) as server, client() as http:
            assert (await post(http, server)).text == "ok"
            await asyncio.sleep(0.01)
            assert (await post(http, server)).text == "ok"
            return server.connections

    assert asyncio.run(go()) == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch):
    monkeypatch.setattr(plain_http, "KEPT_S", 0.0)

    async def go():
        async with Server(OK, OK) as server, client() as http:
            await post(http, server)
            await post(http, server)
            return server.connections

    assert asyncio.run(go()) == 2


def test_who_gives_up_leaves_no_answer_behind_for_the_next():
    async def go():
        async with Server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", OK, OK, wait_s=0.2) as server, client(most=1) as http:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await post(http, server)
            with pytest.raises(httpx2.ReadTimeout):
                await post(http, server, timeout=0.05)
            assert (await post(http, server)).text == "ok"

    asyncio.run(go())


def test_no_more_connections_than_are_allowed():
    async def go():
        async with Server(*[OK] * 12, wait_s=0.01) as server, client(most=3) as http:
            await asyncio.gather(*(post(http, server) for _ in range(12)))
            return server.most

    assert asyncio.run(go()) == 3
