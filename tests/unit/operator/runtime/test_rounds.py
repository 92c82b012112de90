"""The rounds of one loop: when they come, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

import pytest

from atheria_operator.runtime.rounds import Rounds

NEVER_SECONDS = 3600.0


class Loop:
    """A loop whose rounds a test holds and answers."""

    def __init__(self, *, wait_after_failure_seconds: float = 0.0) -> None:
        self.is_over = False
        self.wait_after_failure_seconds = wait_after_failure_seconds
        self.begun: asyncio.Queue[asyncio.Future[float]] = asyncio.Queue()
        self.failures: list[int] = []
        self.rounds = Rounds(self.step, self.failed, lambda: self.is_over)

    async def step(self) -> float:
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(answer)
        return await answer

    def failed(self, error: Exception, failures: int) -> float:
        assert str(error) == "refused"
        self.failures.append(failures)
        return self.wait_after_failure_seconds

    async def next(self) -> asyncio.Future[float]:
        return await asyncio.wait_for(self.begun.get(), 5)


async def settled() -> None:
    """Until everything that can run without new input has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_round_comes_with_a_wake_and_after_the_time_that_the_last_one_asked_for() -> None:
    loop = Loop()
    await settled()
    assert loop.begun.empty()
    loop.rounds.wake()
    (await loop.next()).set_result(0.0)
    (await loop.next()).set_result(NEVER_SECONDS)
    await settled()
    assert loop.begun.empty()
    loop.rounds.wake()
    (await loop.next()).set_result(NEVER_SECONDS)
    await loop.rounds.close()


async def test_wakes_during_a_round_make_one_more_and_never_two_at_once() -> None:
    loop = Loop()
    loop.rounds.wake()
    first = await loop.next()
    loop.rounds.wake()
    loop.rounds.wake()
    await settled()
    assert loop.begun.empty()
    first.set_result(NEVER_SECONDS)
    (await loop.next()).set_result(NEVER_SECONDS)
    await settled()
    assert loop.begun.empty()
    await loop.rounds.close()


async def test_a_failure_is_counted_until_a_round_succeeds_and_the_loop_goes_on() -> None:
    loop = Loop()
    loop.rounds.wake()
    for _ in range(2):
        (await loop.next()).set_exception(ValueError("refused"))
    (await loop.next()).set_result(0.0)
    (await loop.next()).set_exception(ValueError("refused"))
    (await loop.next()).set_result(NEVER_SECONDS)
    assert loop.failures == [1, 2, 1]
    await loop.rounds.close()


async def test_a_loop_that_begins_anew_runs_at_once_and_counts_its_failures_from_one() -> None:
    loop = Loop(wait_after_failure_seconds=NEVER_SECONDS)
    loop.rounds.wake()
    (await loop.next()).set_exception(ValueError("refused"))
    await settled()
    loop.rounds.wake()
    (await loop.next()).set_exception(ValueError("refused"))
    await settled()
    assert loop.begun.empty()
    loop.rounds.begin_anew()
    (await loop.next()).set_exception(ValueError("refused"))
    await settled()
    assert loop.failures == [1, 2, 1]
    await loop.rounds.close()


async def test_at_rest_a_loop_is_no_task() -> None:
    before = asyncio.all_tasks()
    loop = Loop()
    loop.rounds.wake()
    (await loop.next()).set_result(NEVER_SECONDS)
    await settled()
    assert asyncio.all_tasks() == before
    await loop.rounds.close()


async def test_the_end_waits_for_the_round_under_way_and_no_other_begins() -> None:
    loop = Loop()
    loop.rounds.wake()
    under_way = await loop.next()
    loop.is_over = True
    loop.rounds.wake()
    ended = asyncio.create_task(loop.rounds.ended())
    await settled()
    assert not ended.done()
    under_way.set_result(0.0)
    await asyncio.wait_for(ended, 5)
    loop.rounds.wake()
    await settled()
    assert loop.begun.empty()


async def test_the_end_at_rest_comes_with_a_wake() -> None:
    loop = Loop()
    loop.rounds.wake()
    (await loop.next()).set_result(NEVER_SECONDS)
    await settled()
    loop.is_over = True
    loop.rounds.wake()
    await asyncio.wait_for(loop.rounds.ended(), 5)
    assert loop.begun.empty()


async def test_closing_cancels_the_round_under_way() -> None:
    loop = Loop()
    loop.rounds.wake()
    under_way = await loop.next()
    await loop.rounds.close()
    assert under_way.cancelled()
    await asyncio.wait_for(loop.rounds.ended(), 5)
    loop.rounds.wake()
    await settled()
    assert loop.begun.empty()


async def test_whoever_waits_for_the_end_may_be_cancelled() -> None:
    loop = Loop()
    waiting = asyncio.create_task(loop.rounds.ended())
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    loop.rounds.wake()
    (await loop.next()).set_result(NEVER_SECONDS)
    await loop.rounds.close()


async def test_rounds_run_in_the_context_of_who_made_the_loop() -> None:
    where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")
    seen: list[str] = []
    twice = asyncio.Event()

    async def step() -> float:
        seen.append(where.get())
        if len(seen) == 1:
            return 0.0
        twice.set()
        return NEVER_SECONDS

    def wake_elsewhere(wake: Callable[[], None]) -> None:
        where.set("elsewhere")
        wake()

    where.set("here")
    rounds = Rounds(step, lambda _error, _failures: NEVER_SECONDS, lambda: False)
    contextvars.copy_context().run(wake_elsewhere, rounds.wake)
    await asyncio.wait_for(twice.wait(), 5)
    assert seen == ["here", "here"]
    await rounds.close()
