"""The workers of a server: started, warmed up, and started again when they die. Kept by `engine.engine`, which gives them work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from atheria_server.core.errors import CallError, StartError, UnavailableError
from atheria_server.core.memory_fit import Footprint
from atheria_server.core.restarts import RestartPolicy, restart_delay
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.engine.buffers import Traffic
from atheria_server.engine.calls import Call
from atheria_server.engine.events import EngineEvents
from atheria_server.engine.phases import PhaseWatch
from atheria_server.engine.places import Slot
from atheria_server.engine.process import WorkerDiedError, WorkerProcess
from atheria_server.engine.worker_stream import WorkerStream

_LOG = logging.getLogger("atheria.engine")


class Compute(Protocol):
    """Makes one warm-up call. Raises CallError."""

    async def __call__(self, call: Call, *, measured: bool) -> Footprint | None:
        """The memory that it took, if that was asked for."""


WarmUp = Callable[[Compute], Awaitable[None]]
"""Makes warm-up calls by the function it is given. Raises StartError."""


class CrewListener(Protocol):
    """Who gives the workers their work."""

    def workers_changed(self) -> None:
        """Others than before are ready."""

    def place_freed(self) -> None:
        """One has a free place for a stream."""

    def worker_lost(self) -> None:
        """One died."""

    def limit_batches(self, rows: int) -> None:
        """The model computes no more rows at a time."""

    def limit_rows(self, bucket: Hashable, fits: int) -> None:
        """The device holds no more rows than that in one batch of this bucket."""


class Crew:
    """`run` must be running."""

    def __init__(
        self,
        workers: Sequence[WorkerProcess],
        *,
        restarts: RestartPolicy,
        events: EngineEvents,
        warm_up: WarmUp,
        unread: UnreadFrames[WorkerStream],
        listener: CrewListener,
    ) -> None:
        self.slots = [Slot(spec=worker.spec, worker=worker) for worker in workers]
        self.was_ready = False
        """All were, at the same time, once."""
        self.start_seconds: dict[str, float] = {}
        """Of the newest worker, by phase."""
        self.report: Mapping[str, Any] = {}
        """What the newest worker made of the model; empty before."""
        self.watch = PhaseWatch()
        """What the newest worker does until it is ready."""
        self._restarts = restarts
        self._events = events
        self._warm_up = warm_up
        self._unread = unread
        self._listener = listener
        self._stopping = asyncio.Event()
        self._past_traffic = Traffic()
        """Of workers that died."""

    @property
    def ready(self) -> list[WorkerProcess]:
        """Those that can compute."""
        return [slot.worker for slot in self.slots if slot.ready and slot.worker.alive]

    @property
    def all_ready(self) -> bool:
        """Whether none is starting."""
        return self.was_ready and all(slot.ready for slot in self.slots)

    @property
    def traffic(self) -> Traffic:
        """Through the memory that is shared with them, since the start."""
        return sum((slot.worker.traffic for slot in self.slots), self._past_traffic)

    async def run(self) -> None:
        """Start them and keep them alive until `stop`. Raises StartError when that is hopeless."""
        await asyncio.gather(*(self._supervise(slot) for slot in self.slots))

    @property
    def is_stopping(self) -> bool:
        """Whether none is started any more."""
        return self._stopping.is_set()

    def start_no_more(self) -> None:
        """They are about to be stopped."""
        self._stopping.set()

    async def stop(self, grace_seconds: float) -> None:
        """End them."""
        self.start_no_more()
        await asyncio.gather(*(slot.worker.stop(grace_seconds) for slot in self.slots))

    async def _supervise(self, slot: Slot) -> None:
        """One worker after the other in this slot."""
        while True:
            worker = slot.worker
            worker.attach(self._listener.place_freed, self._events.text_reported, self._unread)
            try:
                await self._start(slot)
                slot.ready = True
                self.was_ready = self.was_ready or all(other.ready for other in self.slots)
                self._listener.workers_changed()
                raise WorkerDiedError(await asyncio.shield(worker.ended))
            except WorkerDiedError as death:
                slot.ready = False
                self._listener.worker_lost()
                if self._stopping.is_set() or not await self._may_restart(slot, str(death)):
                    return
            self._past_traffic += worker.traffic
            slot.worker = WorkerProcess(slot.spec)
            self._events.worker_restarted()

    async def _start(self, slot: Slot) -> None:
        worker = slot.worker
        _LOG.info("event=worker_started pid=%d device=%s", worker.pid, slot.spec.device)
        self.watch = PhaseWatch()
        seconds = await self.watch.loaded(worker)
        load = seconds["import_seconds"] + seconds["load_seconds"]
        _LOG.info("event=model_loaded seconds=%.3f import_seconds=%.3f", load, seconds["import_seconds"])
        self._events.worker_loaded(load)
        self._events.model_prepared(seconds["report"])
        self.start_seconds = {"import": seconds["import_seconds"], "setup": seconds["load_seconds"]}
        self.report = seconds["report"]
        if rows := self.report["compile"]["row_limit"]:
            self._listener.limit_batches(rows)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._warm_up(partial(self._compute_alone, worker))
        except UnavailableError as error:
            raise WorkerDiedError(await asyncio.shield(worker.ended)) from error
        self.start_seconds["warmup"] = loop.time() - began
        self.report = {**self.report, "start_seconds": self.start_seconds}
        self._events.worker_warm(self.start_seconds["warmup"])

    async def _compute_alone(self, worker: WorkerProcess, call: Call, *, measured: bool) -> Footprint | None:
        done = await worker.compute([call], measured=measured)
        if done.rows_that_fit is not None:
            _LOG.warning("event=batch_too_large rows=%d fits=%d", call.rows, done.rows_that_fit)
            self._listener.limit_rows(call.bucket, done.rows_that_fit)
        (result,) = done.results
        if isinstance(result, CallError):
            raise result
        return done.footprint

    async def _may_restart(self, slot: Slot, how: str) -> bool:
        """Wait before the restart; False if the server stops meanwhile. Raises StartError when there were too many."""
        now = asyncio.get_running_loop().time()
        slot.deaths.append(now)
        delay = restart_delay(self._restarts, slot.deaths, now)
        if delay is None:
            raise StartError(
                f"the worker died {len(slot.deaths)} times, the last time by {how}; "
                f"at most {self._restarts.max_restarts} restarts in {self._restarts.window_seconds:g} s"
            )
        _LOG.error("event=worker_died pid=%d how=%r restart_in_seconds=%g", slot.worker.pid, how, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)
        return not self._stopping.is_set()
