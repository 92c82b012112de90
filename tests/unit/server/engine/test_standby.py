"""Standby with workers that answer when the test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from atheria_server.core.errors import FailedError, WorkerLostError
from atheria_server.core.standby import Phase
from atheria_server.engine.device_rest import Rested
from atheria_server.engine.standby import Standby


@dataclass(eq=False)
class _Worker:
    orders: asyncio.Queue[asyncio.Future[Rested]] = field(default_factory=asyncio.Queue)
    is_killed: bool = False

    async def asked(self) -> asyncio.Future[Rested]:
        """The next order that it got, to be answered."""
        async with asyncio.timeout(60):
            return await self.orders.get()

    def rest(self) -> asyncio.Future[Rested]:
        return self._order()

    def rouse(self) -> asyncio.Future[Rested]:
        return self._order()

    def give_up(self) -> None:
        self.is_killed = True

    def _order(self) -> asyncio.Future[Rested]:
        order: asyncio.Future[Rested] = asyncio.get_running_loop().create_future()
        self.orders.put_nowait(order)
        return order


class _Server:
    def __init__(self, *workers: _Worker) -> None:
        self.workers = workers
        self.in_flight = 0
        self.hindrance = ""
        self.slept_bytes: list[int] = []
        self.wakes = 0
        self.changed = asyncio.Event()
        self.standby = Standby(
            workers=lambda: self.workers,
            hindrance=lambda: self.hindrance,
            in_flight=lambda: self.in_flight,
            changed=self.changed.set,
            events=self,
            fall_seconds=0,
        )

    def slept(self, freed_bytes: int, host_bytes: int) -> None:
        self.slept_bytes.append(freed_bytes)

    def woke(self, seconds: float) -> None:
        self.wakes += 1

    async def until(self, phase: Phase) -> None:
        async with asyncio.timeout(60):
            while self.standby.phase is not phase:
                self.changed.clear()
                await self.changed.wait()


async def asleep(*workers: _Worker) -> _Server:
    server = _Server(*workers)
    assert server.standby.sleep() == ""
    for worker in workers:
        (await worker.asked()).set_result(Rested(freed_bytes=70, host_bytes=60))
    await server.until(Phase.ASLEEP)
    return server


async def test_it_tells_what_all_workers_freed() -> None:
    server = await asleep(_Worker(), _Worker())
    assert server.standby.report() == {"state": "asleep", "freed_bytes": 140, "host_bytes": 120}
    assert server.slept_bytes == [140]


async def test_a_call_while_the_workers_move_their_memory_waits_for_that_and_then_wakes_them() -> None:
    worker = _Worker()
    server = _Server(worker)
    server.standby.sleep()
    to_rest = await worker.asked()
    server.in_flight = 1
    server.standby.wanted()
    await asyncio.sleep(0)
    assert worker.orders.empty(), "not told to wake while it still moves the other way"
    to_rest.set_result(Rested())
    to_wake = await worker.asked()
    assert not server.standby.is_serving
    to_wake.set_result(Rested())
    await server.until(Phase.AWAKE)
    assert server.standby.is_serving
    assert server.wakes == 1


async def test_who_asks_to_wake_it_waits_until_it_is_awake() -> None:
    worker = _Worker()
    server = await asleep(worker)
    waking = asyncio.create_task(server.standby.wake())
    to_wake = await worker.asked()
    assert server.standby.sleep() == "it is waking"
    assert not waking.done()
    to_wake.set_result(Rested())
    async with asyncio.timeout(60):
        await waking


async def test_a_worker_that_cannot_take_its_device_again_is_ended_so_that_another_loads_the_model() -> None:
    worker = _Worker()
    server = await asleep(worker)
    server.standby.wanted()
    (await worker.asked()).set_exception(FailedError("out of memory"))
    await server.until(Phase.AWAKE)
    assert worker.is_killed


async def test_a_worker_that_dies_while_it_sleeps_wakes_the_others() -> None:
    died, other = _Worker(), _Worker()
    server = await asleep(died, other)
    server.workers = (other,)
    server.standby.lost()
    (await other.asked()).set_exception(WorkerLostError("it died too"))
    await server.until(Phase.AWAKE)
    assert not other.is_killed


@pytest.mark.parametrize("hindrance", ["not all workers are ready", "the server is shutting down"])
async def test_a_server_that_starts_or_ends_does_not_sleep(hindrance: str) -> None:
    server = _Server(_Worker())
    server.hindrance = hindrance
    assert server.standby.sleep() == hindrance
    assert server.standby.is_ready
