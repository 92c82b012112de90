"""The one bounded queue of the server and the workers behind it: admits, batches, dispatches, restarts, drains.

Knows nothing of protocols or of LitServe. The decisions themselves are pure (`core.batching`, `core.restarts`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from atheria_server.core.batching import BatchPolicy, Capacity, Decision, decide
from atheria_server.core.errors import (
    CallError,
    ExpiredError,
    FullError,
    InvalidCallError,
    NotBegunError,
    NotReadyError,
    StartError,
    UnavailableError,
)
from atheria_server.core.infer import InferAnswer
from atheria_server.core.queue import BoundedQueue, QueueFullError
from atheria_server.core.request import QueuedCall
from atheria_server.core.restarts import RestartPolicy, restart_delay
from atheria_server.engine.calls import Call
from atheria_server.engine.process import (
    BatchResult,
    StreamEnd,
    WorkerDiedError,
    WorkerProcess,
    WorkerSpec,
    WorkerStream,
)

_LOG = logging.getLogger("atheria.engine")
BATCHES_AHEAD: Final = 1
"""Batches sent to a worker beyond the one that it computes, so that it never waits for the front."""
PROGRESS_SECONDS: Final = 15.0
"""While a model loads, a line in the log this often."""


class EngineEvents(Protocol):
    """What the engine tells the metrics."""

    def batch_sent(self, rows: int, waits: Sequence[float]) -> None:
        """A batch of `rows` rows left the queue; seconds that each of its calls waited."""

    def batch_computed(self, seconds: float, *, rows: int, calls: int) -> None:
        """A batch was computed: seconds inside the worker."""

    def stream_sent(self, wait: float) -> None:
        """A stream left the queue after `wait` seconds."""

    def stream_computed(self, seconds: float, *, rows: int) -> None:
        """A stream came to its end: seconds that its frames took in the worker."""

    def worker_loaded(self, seconds: float) -> None:
        """Seconds of import and setup."""

    def worker_warm(self, seconds: float) -> None:
        """Seconds of warm-up."""

    def worker_restarted(self) -> None:
        """A new process took the place of one that died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds of the queue and the batches."""

    batches: BatchPolicy
    max_queue_rows: int
    max_queue_bytes: int
    max_streams: int
    """Running in one worker at a time; further ones wait in the queue."""
    restarts: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting:
    call: Call
    started: asyncio.Future[Any]
    """A batch: the call's result. A stream: its worker and its handle there."""
    has_begun: bool = False
    """It was sent to a worker: it may have had effects."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Slot:
    """Place of one worker; the process in it changes when it dies."""

    worker: WorkerProcess
    ready: bool = False
    deaths: list[float] = field(default_factory=list)


WarmUp = Callable[[Callable[[Call], Awaitable[Any]]], Awaitable[None]]
"""Makes warm-up calls by the function it is given. Raises StartError."""


class Engine:
    """Workers and their queue. `run` must be running; everything else may then be called from the same loop."""

    def __init__(
        self,
        *,
        spec: WorkerSpec,
        limits: EngineLimits,
        events: EngineEvents,
        warm_up: WarmUp,
        workers: Sequence[WorkerProcess],
    ) -> None:
        self._spec = spec
        self._limits = limits
        self._events = events
        self._warm_up = warm_up
        self._queue = BoundedQueue(max_rows=limits.max_queue_rows, max_bytes=limits.max_queue_bytes)
        self._waiting: dict[int, _Waiting] = {}
        self._slots = [_Slot(worker=worker) for worker in workers]
        self._in_flight = 0
        self._next_id = 0
        self._was_ready = False
        self._draining = False
        self._refusing = False
        self._stopping = asyncio.Event()
        self._deciding: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._idle = asyncio.Event()
        self._idle.set()
        self.start_seconds: dict[str, float] = {}
        """Of the newest worker, by phase."""
        self.ready_changed = asyncio.Event()
        """Set whenever `ready` may have changed; whoever waits for it clears it."""

    @property
    def ready(self) -> bool:
        """A worker is loaded and warm, and the server is not going away."""
        return not self._draining and bool(self._ready_workers())

    @property
    def draining(self) -> bool:
        """The server is going away."""
        return self._draining

    @property
    def unready_reason(self) -> str:
        """Why `ready` is false; empty while it is true."""
        if self.ready:
            return ""
        if self._draining:
            return "the server is shutting down"
        return "the worker died and is starting again" if self._was_ready else "the model is loading"

    @property
    def queue_depth(self) -> int:
        """Calls that wait for a worker."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Calls accepted and not answered, the waiting ones included."""
        return self._in_flight

    async def run(self) -> None:
        """Start the workers and keep them alive until `stop`. Raises StartError when that is hopeless."""
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(self._supervise(slot) for slot in self._slots))

    async def compute(self, call: Call, timeout_seconds: float | None) -> Any:
        """The call's answer. Raises CallError; a cancelled caller frees its place at once."""
        async with self._admitted(call, timeout_seconds) as started:
            return await started

    async def stream(self, call: Call, timeout_seconds: float | None) -> AsyncGenerator[InferAnswer]:
        """The call's frames. Raises CallError; a caller that leaves ends the computation."""
        async with self._admitted(call, timeout_seconds) as started:
            worker, stream = await started
            while not isinstance(item := await stream.items.get(), StreamEnd):
                worker.credit(stream)
                yield item
            if item.error is not None:
                raise item.error
            self._events.stream_computed(item.seconds, rows=call.rows)

    def drain(self) -> None:
        """Say not ready from now on; calls are still accepted."""
        self._draining = True
        self.ready_changed.set()

    async def finish(self, timeout_seconds: float) -> int:
        """Accept no more and wait for the accepted calls. Gives how many were not answered in time."""
        self._refusing = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        except TimeoutError:
            return self._in_flight
        return 0

    async def stop(self) -> None:
        """End the workers; what is still waiting fails with UnavailableError."""
        self._refusing = True
        self._stopping.set()
        for waiting in self._waiting.values():
            if not waiting.started.done():
                kind = UnavailableError if waiting.has_begun else NotBegunError
                waiting.started.set_exception(kind("the server stops; try again"))
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots))

    def _admitted(self, call: Call, timeout_seconds: float | None) -> _Admission:
        return _Admission(self, call, timeout_seconds)

    def admit(self, call: Call, timeout_seconds: float | None) -> tuple[int, asyncio.Future[Any]]:
        """Put the call into the queue; `release` it in every case. Raises CallError."""
        if self._refusing:
            raise NotBegunError("the server is shutting down; try again elsewhere")
        if not self._was_ready:
            raise NotReadyError("the model is not loaded yet; try again when it is ready")
        if call.rows > self._limits.max_queue_rows:
            raise InvalidCallError(
                f"the call has {call.rows} rows; at most {self._limits.max_queue_rows} are allowed"
            )
        now = self._loop.time()
        self._next_id += 1
        call_id = self._next_id
        queued = QueuedCall(
            call_id=call_id,
            bucket=("stream", call_id) if call.streaming else call.bucket,
            rows=call.rows,
            size_bytes=call.size_bytes,
            arrived_at=now,
            deadline_at=None if timeout_seconds is None else now + timeout_seconds,
            streaming=call.streaming,
        )
        try:
            self._queue.add(queued)
        except QueueFullError as error:
            raise FullError(str(error)) from error
        started: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[call_id] = _Waiting(call=call, started=started)
        self._in_flight += 1
        self._idle.clear()
        self._decide_soon()
        return call_id, started

    def release(self, call_id: int) -> None:
        """The caller is answered or gone."""
        started = self._waiting.pop(call_id).started
        self._queue.remove(call_id)
        if started.done() and not started.cancelled() and started.exception() is None:
            match started.result():
                case (WorkerProcess() as worker, WorkerStream() as stream):
                    worker.cancel(stream)
                    self._decide_soon()
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    def _decide_soon(self) -> None:
        """Once in this turn of the loop, so that calls that arrived together are batched together."""
        if self._deciding is None:
            self._deciding = self._loop.call_soon(self._decide)

    def _decide(self) -> None:
        self._deciding = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not len(self._queue):
            return
        now = self._loop.time()
        decision = decide(self._queue, self._limits.batches, now, self._capacity())
        self._carry_out(decision, now)
        if decision.wake_at is not None:
            self._timer = self._loop.call_at(decision.wake_at, self._decide)

    def _capacity(self) -> Capacity:
        workers = self._ready_workers()
        return Capacity(
            idle_workers=sum(1 for w in workers if w.batches_in_flight == 0),
            ahead_slots=sum(max(0, 1 + BATCHES_AHEAD - max(1, w.batches_in_flight)) for w in workers),
            stream_slots=sum(max(0, self._limits.max_streams - w.streams_in_flight) for w in workers),
        )

    def _carry_out(self, decision: Decision, now: float) -> None:
        for queued in decision.expired:
            waiting = self._take(queued)
            if not waiting.started.done():
                waiting.started.set_exception(
                    ExpiredError("the deadline passed while the call waited in the queue")
                )
        for batch in decision.batches:
            waits = [now - queued.arrived_at for queued in batch]
            members = [self._begin(queued) for queued in batch]
            worker = min(self._ready_workers(), key=lambda w: w.batches_in_flight)
            self._events.batch_sent(sum(queued.rows for queued in batch), waits)
            future = worker.compute([member.call for member in members])
            future.add_done_callback(partial(self._on_batch, members))
        for queued in decision.streams:
            waiting = self._begin(queued)
            self._events.stream_sent(now - queued.arrived_at)
            worker = min(self._ready_workers(), key=lambda w: w.streams_in_flight)
            if not waiting.started.done():
                waiting.started.set_result((worker, worker.stream(waiting.call)))

    def _ready_workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.ready and slot.worker.alive]

    def _begin(self, queued: QueuedCall) -> _Waiting:
        waiting = self._take(queued)
        waiting.has_begun = True
        return waiting

    def _take(self, queued: QueuedCall) -> _Waiting:
        self._queue.remove(queued.call_id)
        return self._waiting[queued.call_id]

    def _on_batch(self, members: Sequence[_Waiting], done: asyncio.Future[BatchResult]) -> None:
        self._decide_soon()
        error = done.exception()
        if error is None:
            rows = sum(member.call.rows for member in members)
            self._events.batch_computed(done.result().seconds, rows=rows, calls=len(members))
        for index, member in enumerate(members):
            if member.started.done():
                continue
            result = error if error is not None else done.result().results[index]
            if isinstance(result, BaseException):
                member.started.set_exception(result)
            else:
                member.started.set_result(result)

    async def _supervise(self, slot: _Slot) -> None:
        """One worker after the other in this slot."""
        while True:
            worker = slot.worker
            worker.attach(self._decide_soon)
            try:
                await self._start(slot)
                slot.ready = self._was_ready = True
                self.ready_changed.set()
                self._decide_soon()
                raise WorkerDiedError(await asyncio.shield(worker.ended))
            except WorkerDiedError as death:
                slot.ready = False
                self.ready_changed.set()
                if self._stopping.is_set() or not await self._may_restart(slot, str(death)):
                    return
            slot.worker = WorkerProcess(self._spec)
            self._events.worker_restarted()

    async def _start(self, slot: _Slot) -> None:
        worker = slot.worker
        began = self._loop.time()
        _LOG.info("event=worker_started pid=%d device=%s", worker.pid, self._spec.device)
        while not (await asyncio.wait([worker.loaded], timeout=PROGRESS_SECONDS))[0]:
            _LOG.info("event=model_loading pid=%d seconds=%.0f", worker.pid, self._loop.time() - began)
        seconds = worker.loaded.result()
        load = seconds["import_seconds"] + seconds["load_seconds"]
        _LOG.info(
            "event=model_loaded seconds=%.3f import_seconds=%.3f setup_seconds=%.3f",
            load,
            seconds["import_seconds"],
            seconds["load_seconds"],
        )
        self._events.worker_loaded(load)
        self.start_seconds = {"import": seconds["import_seconds"], "setup": seconds["load_seconds"]}
        began = self._loop.time()
        try:
            await self._warm_up(lambda call: _single(worker, call))
        except UnavailableError as error:
            raise WorkerDiedError(await asyncio.shield(worker.ended)) from error
        self.start_seconds["warmup"] = self._loop.time() - began
        self._events.worker_warm(self.start_seconds["warmup"])

    async def _may_restart(self, slot: _Slot, how: str) -> bool:
        """Wait before the restart; False if the server stops meanwhile. Raises StartError when there were too many."""
        now = self._loop.time()
        slot.deaths.append(now)
        delay = restart_delay(self._limits.restarts, slot.deaths, now)
        if delay is None:
            raise StartError(
                f"the worker died {len(slot.deaths)} times, the last time by {how}; "
                f"at most {self._limits.restarts.max_restarts} restarts in {self._limits.restarts.window_seconds:g} s"
            )
        _LOG.error("event=worker_died pid=%d how=%r restart_in_seconds=%g", slot.worker.pid, how, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)
        return not self._stopping.is_set()


class _Admission:
    """`async with`: a call in the queue, out of it again in every case."""

    def __init__(self, engine: Engine, call: Call, timeout_seconds: float | None) -> None:
        self._engine = engine
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._call_id = 0

    async def __aenter__(self) -> asyncio.Future[Any]:
        self._call_id, started = self._engine.admit(self._call, self._timeout_seconds)
        return started

    async def __aexit__(self, *_: object) -> None:
        self._engine.release(self._call_id)


async def _single(worker: WorkerProcess, call: Call) -> Any:
    (result,) = (await worker.compute([call])).results
    if isinstance(result, CallError):
        raise result
    return result
