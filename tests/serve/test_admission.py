import asyncio
import json
import socket
import threading

import httpx2
import pytest
from asgi_calls import call, served

from serve.limits.admission import Admission
from serve.limits.body import BodyLimit
from serve.limits.deadline import Deadline
from serve.limits.slots import Slots

PATHS = ("/api/v1/classify", "/api/v1/jobs")
PLAIN = json.dumps({"message": "where is my order 5530"}).encode()
FLAG = json.dumps({"message": "my throat is closing up since the new tablets"}).encode()


class Desk:
    """An application that answers when it is told to, behind an admission; what it was given is kept in order."""

    def __init__(self, size=5, queue_size=2, queue_seconds=60.0, share=0.2):
        self.slots = Slots(size, reserve_share=share, queue_size=queue_size)
        self.shed = []
        self.given = []
        self.answers = asyncio.Semaphore(0)
        admission = Admission(self.work, slots=self.slots, paths=PATHS, queue_seconds=queue_seconds, on_shed=self.shed.append)
        self.app = BodyLimit(admission, max_bytes=100_000)

    async def work(self, scope, receive, send):
        self.given.append((await receive())["body"])
        await self.answers.acquire()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def ask(self, body=PLAIN, **more):
        """Begin a request, and wait until it is given a slot, or waits, or is answered."""
        task = asyncio.create_task(call(self.app, chunks=[body], **more))
        for _ in range(8):
            await asyncio.sleep(0)
        return task

    async def fill(self):
        tasks = [await self.ask() for _ in range(self.slots.ordinary)]
        assert self.slots.in_use == self.slots.ordinary
        return tasks

    async def answer_all(self, *tasks):
        for _ in tasks:
            self.answers.release()
        return [answer.status for answer in await asyncio.gather(*tasks)]


def test_when_slots_and_queue_are_full_a_request_is_shed_before_it_is_parsed():
    async def main():
        desk = Desk()
        under_way = [*await desk.fill(), await desk.ask(), await desk.ask()]
        assert (desk.slots.in_use, desk.slots.waiting) == (4, 2)
        shed = await (await desk.ask(b"{ no JSON", request_id="r1"))
        assert (shed.status, shed.headers["retry-after"], desk.shed) == (503, "1", ["queue_full"])
        assert shed.problem["request_id"] == "r1"
        assert "nothing was done" in shed.problem["detail"]
        assert await desk.answer_all(*under_way) == [200] * 6
        assert (desk.slots.in_use, desk.slots.waiting) == (0, 0)

    asyncio.run(main())


def test_a_red_flag_has_the_reserve_then_the_head_of_the_queue_then_the_place_of_another():
    async def main():
        desk = Desk()
        ordinary = await desk.fill()
        queued = [await desk.ask(), await desk.ask()]
        reserved = await desk.ask(FLAG)
        assert (desk.slots.in_use, desk.slots.waiting) == (5, 2)
        ahead = [await desk.ask(FLAG), await desk.ask(FLAG)]
        assert [(await one).status for one in queued] == [503, 503]
        assert desk.shed == ["displaced"] * 2
        assert (await (await desk.ask(FLAG))).status == 503, "even the reserve and the queue are full of them"
        assert await desk.answer_all(*ordinary, reserved, *ahead) == [200] * 7
        assert desk.given == [PLAIN] * 4 + [FLAG] * 3, "each came whole to the application"

    asyncio.run(main())


def test_those_who_wait_are_served_in_the_order_they_came():
    async def main():
        desk = Desk(size=1, queue_size=5)
        tasks = [await desk.ask(b"%d" % number) for number in range(5)]
        tasks.append(await desk.ask(FLAG))
        assert await desk.answer_all(*tasks) == [200] * 6
        assert desk.given == [b"0", FLAG, b"1", b"2", b"3", b"4"]

    asyncio.run(main())


@pytest.mark.parametrize(("queue_seconds", "deadline_s"), [(0.05, 60), (60, 0.05)])
def test_nobody_waits_longer_than_the_queue_lets_or_than_its_own_deadline(queue_seconds, deadline_s):
    async def main():
        desk = Desk(queue_seconds=queue_seconds)
        under_way = await desk.fill()
        late = await (await desk.ask(deadline=Deadline(deadline_s)))
        assert (late.status, desk.shed, desk.slots.waiting) == (503, ["waited"], 0)
        await desk.answer_all(*under_way)

    asyncio.run(main())


def test_the_body_is_not_looked_at_while_there_are_ordinary_slots():
    async def main():
        looked = []
        slots = Slots(2, reserve_share=0.5, queue_size=0)

        async def work(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        app = Admission(work, slots=slots, paths=PATHS, queue_seconds=1, is_urgent=looked.append)
        assert (await call(app, chunks=[])).status == 200
        assert looked == []

    asyncio.run(main())


def test_the_body_is_not_looked_at_where_an_urgent_one_would_be_shed_too():
    async def main():
        desk = Desk(size=2, queue_size=1, share=0.5)
        under_way = [await desk.ask(FLAG) for _ in range(3)]  # the ordinary place, the reserve, and one waits
        assert (desk.slots.in_use, desk.slots.waiting) == (2, 1)
        looked = []
        unlooked = Admission(desk.work, slots=desk.slots, paths=PATHS, queue_seconds=60, is_urgent=looked.append)
        shed = await call(unlooked, chunks=[FLAG])
        assert (shed.status, looked) == (503, [])
        assert await desk.answer_all(*under_way) == [200] * 3

    asyncio.run(main())


def test_other_paths_need_no_slot():
    async def main():
        desk = Desk()
        under_way = await desk.fill()
        others = [await desk.ask(path="/api/v1/escalations/7"), await desk.ask(method="PUT")]
        assert desk.slots.in_use == 4
        assert await desk.answer_all(*under_way, *others) == [200] * 6

    asyncio.run(main())


def test_a_slot_comes_back_from_a_handler_that_fails_or_is_cancelled():
    async def main():
        desk = Desk(size=1, queue_size=1)
        failing = Admission(lambda *_: 1 / 0, slots=desk.slots, paths=PATHS, queue_seconds=1)
        with pytest.raises(ZeroDivisionError):
            await call(failing)
        assert desk.slots.in_use == 0
        first, second = await desk.ask(), await desk.ask()
        assert (desk.slots.in_use, desk.slots.waiting) == (1, 1)
        first.cancel()
        desk.answers.release()
        assert (await second).status == 200
        assert desk.slots.in_use == 0

    asyncio.run(main())


def test_retry_after_says_when_a_slot_will_be_free():
    async def main():
        desk = Desk()
        for _ in range(60):
            desk.slots.enter()
            desk.slots.leave(10.0)
        under_way = [*await desk.fill(), await desk.ask(), await desk.ask()]
        shed = await (await desk.ask())
        assert shed.headers["retry-after"] == "8"  # two before it and four slots that are held for 10 s: 3 * 10 / 4
        await desk.answer_all(*under_way)

    asyncio.run(main())


def test_a_client_that_leaves_while_it_waits_is_forgotten_on_a_real_socket():
    """One slot, held; the client that waits for it hangs up, and the one behind it is served instead."""
    given, shed, answer = [], [], threading.Event()
    slots = Slots(1, reserve_share=0, queue_size=5)

    async def work(scope, receive, send):
        given.append((await receive())["body"])
        await asyncio.to_thread(answer.wait, 30)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    app = BodyLimit(Admission(work, slots=slots, paths=PATHS, queue_seconds=30, on_shed=shed.append), max_bytes=100)

    def until(condition):
        waited = threading.Event()
        for _ in range(2000):
            if condition():
                return
            waited.wait(0.01)
        raise AssertionError("it did not come to that")

    with served(app) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        holder = threading.Thread(target=http.post, args=(PATHS[0],), kwargs={"content": b"holds"})
        holder.start()
        until(lambda: slots.in_use == 1)
        leaver = socket.create_connection(("127.0.0.1", port))
        leaver.sendall(b"POST /api/v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nleaves")
        until(lambda: slots.waiting == 1)
        stayer = threading.Thread(target=http.post, args=(PATHS[0],), kwargs={"content": b"stays"})
        stayer.start()
        until(lambda: slots.waiting == 2)
        leaver.close()
        until(lambda: slots.waiting == 1)
        answer.set()
        holder.join()
        stayer.join()
    assert (given, shed) == ([b"holds", b"stays"], ["gone"])
