"""Turns: between two answers' pieces of work the loop hears everybody else."""

import asyncio

from orchestrator.llm import Reply, Request, Turn
from orchestrator.turns import InTurn

REQUEST = Request(model="m", model_digest="d", turns=(Turn(role="user", content="hi"),), answer_schema={}, max_tokens=1)


async def at_once(request):
    """An LLM that answers before the loop is asked for anything."""
    return Reply(text="yes")


def test_of_answers_that_come_together_one_is_worked_on_in_each_round():
    async def main():
        llm, rounds, worked = InTurn(at_once), 0, []

        def count():
            nonlocal rounds
            rounds += 1
            asyncio.get_running_loop().call_soon(count)

        async def one(number):
            assert (await llm(REQUEST)).text == "yes"
            worked.append((rounds, number))

        asyncio.get_running_loop().call_soon(count)
        await asyncio.gather(*map(one, range(5)))
        assert [number for _, number in worked] == [0, 1, 2, 3, 4]
        assert len({turn for turn, _ in worked}) == 5

    asyncio.run(main())


def test_who_is_alone_waits_for_nobody_and_who_gave_up_is_passed_over():
    async def main():
        llm, done = InTurn(at_once), []

        async def one(number):
            await llm(REQUEST)
            done.append(number)

        await one(0)
        tasks = [asyncio.create_task(one(number)) for number in range(1, 5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert done == [0, 1, 4]
        await asyncio.wait_for(one(5), timeout=5)
        assert done[-1] == 5

    asyncio.run(main())
