"""The delay of a drain is not over before what came in it was read."""

from __future__ import annotations

import asyncio
import time

from atheria_server.drain_delay import pass_delay

SECONDS = 0.2


async def never() -> None:
    await asyncio.Event().wait()


def test_a_loop_that_stood_still_for_all_of_the_delay_still_does_what_came_meanwhile() -> None:
    async def run() -> bool:
        read = asyncio.Event()
        waiting = asyncio.create_task(pass_delay(SECONDS, never))
        await asyncio.sleep(0)
        time.sleep(2 * SECONDS)  # noqa: ASYNC251 - the loop stands still
        # As reading a call takes: a few rounds of the loop.
        asyncio.get_running_loop().call_later(SECONDS / 10, read.set)
        await waiting
        return read.is_set()

    assert asyncio.run(run())


def test_the_delay_ends_early_when_it_is_told_to() -> None:
    async def run() -> None:
        async def at_once() -> None:
            return

        await asyncio.wait_for(pass_delay(3600.0, at_once), 60)

    asyncio.run(run())


def test_without_a_delay_nothing_is_waited_for() -> None:
    async def run() -> None:
        await asyncio.wait_for(pass_delay(0.0, never), 60)

    asyncio.run(run())
