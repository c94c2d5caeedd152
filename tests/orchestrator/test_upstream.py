"""The misbehaving upstream does what its toxics say, as a bare socket sees it, and stops whatever hangs."""

import asyncio
import json
import socket
import threading

import pytest

from orchestrator.testing import Toxic, misbehaving_upstream

SCHEMA = {"type": "object", "properties": {"category": {"type": "string", "enum": ["A", "B"]}}, "required": ["category"]}
BODY = json.dumps(
    {"messages": [], "logprobs": True, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}
).encode()
CALL = b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer k\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
SAID = {
    Toxic.OK: (b" 200 ", b'"A'), Toxic.SLICER: (b" 200 ", b'"A'), Toxic.NO_LOGPROBS: (b" 200 ", b'"logprobs": null'),
    Toxic.WRONG_SCHEMA: (b" 200 ", b"colour"), Toxic.IGNORES_SCHEMA: (b" 200 ", b"Hello"), Toxic.REFUSAL: (b" 200 ", b"cannot help"),
    Toxic.TRUNCATION: (b" 200 ", b'"length"'), Toxic.WRONG_BODY: (b" 200 ", b"hello"), Toxic.GARBAGE: (b" 200 ", b"<html>"),
    Toxic.UNAUTHORISED: (b" 401 ", b"invalid_api_key"), Toxic.RATE_LIMITED: (b" 429 ", b"rate_limit_exceeded"),
    Toxic.QUOTA: (b" 429 ", b"insufficient_quota"), Toxic.SERVER_ERROR: (b" 500 ", b"oops"),
}  # fmt: skip
ENDLESS = {Toxic.HANG, Toxic.DRIP, Toxic.SLOW_CLOSE}
BROKEN = {Toxic.RESET, Toxic.HALF_BODY}


def connection(upstream):
    port = int(upstream.base_url.split(":")[2].split("/")[0])
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def said(stream) -> bytes:
    """The reply on a connection that stays open, head and body."""
    reader = stream.makefile("rb")
    head = b"".join(iter(reader.readline, b"\r\n"))
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return head + b"\r\n" + reader.read(length)


def test_every_toxic_is_tried_here():
    assert set(SAID) | ENDLESS | BROKEN == set(Toxic)


@pytest.mark.parametrize("toxic", sorted(SAID))
def test_it_says_what_the_toxic_says_and_keeps_the_connection(toxic):
    with misbehaving_upstream(toxic, retry_after_s=7) as upstream, connection(upstream) as stream:
        for _ in range(2):
            stream.sendall(CALL)
            reply = said(stream)
            assert all(part in reply for part in SAID[toxic])
            assert (b"Retry-After: 7" in reply) == (toxic is Toxic.RATE_LIMITED)
        assert (upstream.calls, upstream.peak, upstream.key) == (2, 1, "k")


def test_what_never_ends_does_not_end_but_what_is_there_comes():
    with misbehaving_upstream(Toxic.DRIP) as upstream, connection(upstream) as stream:
        stream.sendall(CALL)
        assert b" 200 " in stream.recv(4096)
        assert b" " in stream.recv(4096)
        assert b" " in stream.recv(4096)
        assert upstream.under_way == 1
        upstream.toxic = Toxic.SLOW_CLOSE
        with connection(upstream) as other:
            other.sendall(CALL)
            assert b"Content-Length" not in other.recv(65_536)
            upstream.wait_for(lambda one: one.under_way == 2)


def test_a_reset_is_a_reset_and_half_a_body_is_the_first_half():
    with misbehaving_upstream(Toxic.RESET) as upstream:
        with connection(upstream) as stream:
            stream.sendall(CALL)
            with pytest.raises(ConnectionResetError):
                stream.recv(1)
        upstream.toxic = Toxic.HALF_BODY
        with connection(upstream) as stream:
            stream.sendall(CALL)
            head, _, body = b"".join(iter(lambda: stream.recv(4096), b"")).partition(b"\r\n\r\n")
            assert 0 < len(body) < int(head.split(b"Content-Length: ")[1])


def test_a_script_gives_each_request_its_own():
    script = [Toxic.SERVER_ERROR, Toxic.OK]
    with misbehaving_upstream(lambda number: script[number]) as upstream, connection(upstream) as stream:
        for status in (b" 500 ", b" 200 "):
            stream.sendall(CALL)
            assert status in said(stream)


def test_an_answer_of_ones_own_has_its_distribution():
    with misbehaving_upstream(answer=lambda _turns: {"A": 0.2, "B": 0.8}) as upstream, connection(upstream) as stream:
        stream.sendall(CALL)
        completion = json.loads(said(stream).partition(b"\r\n\r\n")[2])
        assert json.loads(completion["choices"][0]["message"]["content"]) == {"category": "B"}


def test_it_stands_hundreds_of_connections_that_hang_and_stops_with_them():
    async def go(upstream):
        port = int(upstream.base_url.split(":")[2].split("/")[0])
        pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(400)))
        for _, writer in pairs:
            writer.write(CALL)
        await asyncio.to_thread(upstream.wait_for, lambda one: one.under_way == 400)
        pairs[0][1].close()  # one has had enough
        await asyncio.to_thread(upstream.wait_for, lambda one: one.under_way == 399)
        await asyncio.to_thread(upstream.stop)
        assert not any([await reader.read() for reader, _ in pairs[1:]])
        for _, writer in pairs:
            writer.close()

    with misbehaving_upstream(Toxic.HANG) as upstream:
        asyncio.run(go(upstream))
        assert upstream.peak == 400
    assert "upstream" not in {thread.name for thread in threading.enumerate()}
