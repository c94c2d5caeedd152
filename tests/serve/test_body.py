import asyncio
import socket

import pytest
from asgi_calls import call, echo, served

from serve.limits.body import BodyLimit
from serve.limits.deadline import Deadline, RequestDeadline


def limited(**options):
    return BodyLimit(echo, **{"max_bytes": 10} | options)


def ask(app, **request):
    return asyncio.run(call(app, **request))


def test_a_body_within_the_limit_goes_on_whole_however_it_came():
    assert ask(limited(), chunks=[b"0123456789"])[::2] == (200, b"0123456789")
    assert ask(limited(), chunks=[b"0123", b"", b"456", b"789"])[::2] == (200, b"0123456789")


def test_the_application_gets_the_body_as_one_message():
    messages = []

    async def app(scope, receive, send):
        messages.append(await receive())

    ask(BodyLimit(app, max_bytes=10), chunks=[b"01", b"23"])
    assert messages == [{"type": "http.request", "body": b"0123", "more_body": False}]


@pytest.mark.parametrize("headers", [[("Content-Length", "11")], [("Content-Length", "9" * 5000)], []])
def test_a_longer_one_is_a_413_by_its_declared_length_or_as_it_comes(headers):
    answer = ask(limited(), headers=headers, chunks=[b"012345", b"67890"])
    assert answer.status == 413
    assert answer.problem["detail"] == "the body may have at most 10 bytes"


def test_nothing_is_read_of_what_declares_too_much():
    async def never():
        raise AssertionError("it was read")

    assert ask(limited(), headers=[("Content-Length", "11")], chunks=[never]).status == 413


def test_a_path_may_have_a_limit_of_its_own():
    app = limited(max_bytes_below={"/api/v1/jobs": 20})
    assert ask(app, path="/api/v1/jobs", chunks=[b"x" * 20]).status == 200
    assert ask(app, path="/api/v1/jobs", chunks=[b"x" * 21]).status == 413
    assert ask(app, chunks=[b"x" * 20]).status == 413


def test_all_bodies_held_at_once_are_bounded_and_given_back():
    async def scenario():
        app = limited(max_held_bytes=15, max_bytes=3, max_bytes_below={"/": 10})
        go_on = asyncio.Event()

        async def slow():
            return {"type": "http.request", "body": b"x" * 10, "more_body": True}

        async def rest():
            await go_on.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        held = asyncio.create_task(call(app, chunks=[slow, rest]))
        while app.held_bytes < 10:  # noqa: ASYNC110  # it tells nobody when it has read
            await asyncio.sleep(0)
        refused = await call(app, chunks=[b"y" * 6])
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await call(app, chunks=[b"y" * 3])).status == 200  # what single messages may have is let in still
        go_on.set()
        assert (await held).status == 200
        assert app.held_bytes == 0

    asyncio.run(scenario())


def test_a_body_that_does_not_come_before_the_deadline_is_a_408():
    app = limited()

    async def never():
        await asyncio.Event().wait()

    answer = ask(app, chunks=[never], deadline=Deadline(0.05))
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert app.held_bytes == 0


def test_a_client_that_leaves_before_its_body_is_whole_is_not_answered():
    async def leave():
        return {"type": "http.disconnect"}

    assert ask(limited(), chunks=[leave]).status is None


def test_what_has_no_body_is_not_waited_for():
    async def never():
        raise AssertionError("it was read")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    assert ask(BodyLimit(app, max_bytes=10), method="GET", chunks=[never]).status == 200


def test_a_slow_sender_is_answered_and_cut_off_on_a_real_socket():
    app = RequestDeadline(limited(), longest_s=30)
    with served(app) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        sender.sendall(b"POST /api/v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nX-Request-Deadline: 0.2\r\n\r\nabc")
        answer = b""
        while data := sender.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 408 ")
