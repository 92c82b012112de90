"""The front follows a worker's start, and ends what takes longer than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from atheria_server.core.errors import StartError
from atheria_server.engine.phases import Phase, PhaseWatch


class Worker:
    """Starts as the test says."""

    def __init__(self) -> None:
        self.pid = 1
        self.loaded: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self.phases: asyncio.Queue[Phase] = asyncio.Queue()
        self.is_killed = False

    def kill(self) -> None:
        """Remembered."""
        self.is_killed = True


async def turns() -> None:
    """Of the event loop, as many as everything that is due needs."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_worker_that_loads_says_what_it_does_on_the_way() -> None:
    worker, watch = Worker(), PhaseWatch()
    waiting = asyncio.create_task(watch.loaded(worker))
    worker.phases.put_nowait(Phase(name="compiling", done=1, total=3, detail="64x64"))
    await turns()
    assert watch.phase.text == "compiling 1 of 3 (64x64)"
    worker.loaded.set_result({"report": {}})
    assert await waiting == {"report": {}}
    assert not worker.is_killed


async def test_a_phase_that_outlasts_its_bound_ends_the_worker_with_its_own_words() -> None:
    worker, watch = Worker(), PhaseWatch()
    worker.phases.put_nowait(
        Phase(name="running hooks", bound_seconds=0.05, overdue="WarmupFailed: too long")
    )
    with pytest.raises(StartError, match=r"^WarmupFailed: too long$"):
        await asyncio.wait_for(watch.loaded(worker), 30)
    assert worker.is_killed


async def test_the_bound_counts_from_the_beginning_of_its_own_phase() -> None:
    worker, watch = Worker(), PhaseWatch()
    worker.phases.put_nowait(Phase(name="running hooks", bound_seconds=0.2))
    worker.phases.put_nowait(Phase(name="judging"))
    waiting = asyncio.create_task(watch.loaded(worker))
    await turns()
    assert watch.phase.name == "judging"
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    worker.loaded.set_result({})
    assert await waiting == {}


async def test_a_worker_that_fails_fails_the_wait() -> None:
    worker, watch = Worker(), PhaseWatch()
    worker.loaded.set_exception(StartError("no such model"))
    with pytest.raises(StartError, match="no such model"):
        await watch.loaded(worker)
