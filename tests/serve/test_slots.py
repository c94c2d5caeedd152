import asyncio
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serve.limits.slots import Shed, Slots


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when told."""

    now = 0.0

    def time(self):
        return self.now


class Modelled(RuleBasedStateMachine):
    """Against lists: who has a place, who waits, in which order and until when."""

    def __init__(self):
        super().__init__()
        self.loop = StillLoop()
        self.slots = None
        self.tasks = {}
        self.leaving = {}
        self.holding, self.urgent, self.ordinary = [], [], []
        self.expected = {}

    @initialize(size=st.integers(1, 5), share=st.sampled_from([0.0, 0.2, 0.5, 0.9]), queue_size=st.integers(0, 4))
    def begin(self, size, share, queue_size):
        self.slots = Slots(size, reserve_share=share, queue_size=queue_size, clock=self.loop.time)
        self.queue_size = queue_size

    def settle(self):
        for _ in range(6):  # a callback, the task it wakes, the callback of that
            self.loop.run_until_complete(asyncio.sleep(0))

    def fill(self):
        while self.urgent and len(self.holding) < self.slots.size:
            self.give(self.urgent)
        while self.ordinary and len(self.holding) < self.slots.ordinary:
            self.give(self.ordinary)

    def give(self, line):
        number, _ = line.pop(0)
        self.holding.append(number)
        self.expected[number] = None

    @rule(urgent=st.booleans(), patience=st.integers(0, 4))
    def arrive(self, urgent, patience):
        number = len(self.tasks)
        self.leaving[number] = self.loop.create_future()

        async def gone():
            return await self.leaving[number]

        waiting = self.slots.wait(urgent=urgent, at_most_s=patience, gone=gone)
        self.tasks[number] = self.loop.create_task(waiting)
        self.settle()
        if len(self.holding) < (self.slots.size if urgent else self.slots.ordinary):
            self.holding.append(number)
            self.expected[number] = None
        elif patience == 0:
            self.expected[number] = Shed.WAITED
        elif len(self.urgent) + len(self.ordinary) < self.queue_size:
            (self.urgent if urgent else self.ordinary).append((number, self.loop.now + patience))
        elif urgent and self.ordinary:
            last, _ = self.ordinary.pop()
            self.expected[last] = Shed.DISPLACED
            self.urgent.append((number, self.loop.now + patience))
        else:
            self.expected[number] = Shed.QUEUE_FULL

    @precondition(lambda self: self.holding)
    @rule(which=st.integers(0, 9))
    def leave(self, which):
        self.holding.pop(which % len(self.holding))
        self.slots.leave(1.0)
        self.fill()
        self.settle()

    @precondition(lambda self: self.urgent or self.ordinary)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["cancelled", "gone"]))
    def give_up(self, which, how):
        line = random.Random(which).choice([line for line in (self.urgent, self.ordinary) if line])
        number, _ = line.pop(which % len(line))
        if how == "cancelled":
            self.tasks[number].cancel()
            self.expected[number] = "cancelled"
        else:
            self.leaving[number].set_result(True)
            self.expected[number] = Shed.GONE
        self.settle()

    @precondition(lambda self: self.holding and (self.urgent or self.ordinary))
    @rule()
    def be_cancelled_in_the_moment_of_getting_a_place(self):
        before = set(self.holding)
        self.holding.pop(0)
        self.slots.leave(1.0)
        self.fill()
        given = [number for number in self.holding if number not in before]
        for number in given:
            self.tasks[number].cancel()  # its future has its answer, and its task has not run yet
            self.holding.remove(number)
            self.expected[number] = "cancelled"
        self.fill()
        self.settle()

    @precondition(lambda self: self.holding and (self.urgent or self.ordinary))
    @rule()
    def one_leaves_in_the_moment_the_next_is_cancelled(self):
        number, _ = (self.urgent or self.ordinary).pop(0)
        self.tasks[number].cancel()  # its place in the queue is still there when the slot comes back
        self.expected[number] = "cancelled"
        self.leave(0)

    @rule(seconds=st.integers(1, 3))
    def pass_time(self, seconds):
        self.loop.now += seconds
        for line in (self.urgent, self.ordinary):
            for number, until in [one for one in line if one[1] <= self.loop.now]:
                line.remove((number, until))
                self.expected[number] = Shed.WAITED
        self.settle()

    @invariant()
    def it_is_as_modelled(self):
        if self.slots is None:
            return
        done = {number: "cancelled" if task.cancelled() else task.result() for number, task in self.tasks.items() if task.done()}
        assert done == self.expected
        assert (self.slots.in_use, self.slots.waiting) == (len(self.holding), len(self.urgent) + len(self.ordinary))
        assert self.slots.in_use <= self.slots.size
        assert self.slots.waiting <= self.queue_size

    def teardown(self):
        for task in self.tasks.values():
            task.cancel()
        self.settle()
        self.loop.close()


TestModelled = Modelled.TestCase
TestModelled.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    ("size", "share", "kept"), [(100, 0.2, 20), (10, 0.2, 2), (35, 0.2, 7), (4, 0.2, 1), (1, 0.2, 0), (10, 0.0, 0), (2, 0.9, 1)]
)
def test_a_share_is_kept_rounded_up_but_never_all(size, share, kept):
    slots = Slots(size, reserve_share=share, queue_size=0)
    assert slots.size - slots.ordinary == kept
    assert [slots.enter() for _ in range(size)] == [True] * (size - kept) + [False] * kept
    assert [slots.enter(urgent=True) for _ in range(kept + 1)] == [True] * kept + [False]


def test_no_place_is_lost_or_given_twice_however_many_come_and_are_cancelled():
    async def main():
        slots = Slots(5, reserve_share=0.2, queue_size=50)
        chance = random.Random(11)
        inside = []

        async def one():
            if await slots.wait(urgent=chance.random() < 0.3, at_most_s=chance.choice([0.001, 5])):
                return
            inside.append(1)
            assert len(inside) <= slots.size
            try:
                await asyncio.sleep(chance.random() / 500)
            finally:
                inside.pop()
                slots.leave(0.001)

        tasks = []
        for _ in range(1500):
            tasks.append(asyncio.create_task(one()))
            if chance.random() < 0.3:
                chance.choice(tasks[-20:]).cancel()
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        errors = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if error]
        assert all(isinstance(error, asyncio.CancelledError) for error in errors)
        assert (slots.in_use, slots.waiting) == (0, 0)

    asyncio.run(main())


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_when_a_place_is_free_is_told_from_how_long_they_are_held_and_how_many_wait():
    async def main():
        clock = Clock()
        slots = Slots(5, reserve_share=0.2, queue_size=10, clock=clock)
        assert slots.free_in_s() == 0.0, "nobody knows yet"
        for _ in range(50):
            assert slots.enter()
            slots.leave(10.0)
        assert slots.free_in_s() == pytest.approx(10 / 4)
        assert all(slots.enter() for _ in range(4))
        waiting = [asyncio.create_task(slots.wait(urgent=False, at_most_s=60)) for _ in range(3)]
        await asyncio.sleep(0)
        assert slots.free_in_s() == pytest.approx(4 * 10 / 4)
        assert slots.free_in_s(urgent=True) == pytest.approx(10 / 5), "urgent ones wait for nobody else"
        clock.now += 40
        assert slots.free_in_s() == pytest.approx(4 * 40 / 4), "while all hang it grows"
        for task in waiting:
            task.cancel()

    asyncio.run(main())


def test_one_that_comes_when_told_finds_a_place_in_a_steady_service():
    """Places that are held for 8 s each and began one after another: the estimate is when the one that is asked for gets free."""
    clock = Clock()
    slots = Slots(4, reserve_share=0.0, queue_size=0, clock=clock)
    begun = []
    for _ in range(40):
        if len(begun) == 4:
            slots.leave(clock.now - begun.pop(0))
        assert slots.enter()
        begun.append(clock.now)
        clock.now += 2
    told_s = slots.free_in_s()
    assert told_s == pytest.approx(2.0, rel=0.05)
    assert not slots.enter()
    slots.leave(clock.now - begun.pop(0))  # the oldest of them has held it for 8 s by now
    assert slots.enter()
