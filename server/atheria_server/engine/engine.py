"""The one bounded queue of the server before its workers (`engine.crew`): admits, batches, dispatches, drains.

Knows nothing of protocols or of LitServe. The decisions themselves are pure (`core.batching`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Hashable, Iterator, Sequence
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import Any, Final

from atheria_server.core.batching import Capacity, Decision, decide
from atheria_server.core.errors import (
    ExpiredError,
    FailedError,
    FullError,
    InvalidCallError,
    NotBegunError,
    NotReadyError,
    UnavailableError,
    WorkerLostError,
)
from atheria_server.core.infer import InferAnswer
from atheria_server.core.queue import BoundedQueue, QueueFullError
from atheria_server.core.request import QueuedCall, wanted_until
from atheria_server.core.row_limits import RowLimits
from atheria_server.core.stream_places import StreamPlaces
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.engine.caller import CALLER
from atheria_server.engine.calls import Call
from atheria_server.engine.crew import Crew, WarmUp
from atheria_server.engine.events import EngineEvents
from atheria_server.engine.in_flight import InFlight
from atheria_server.engine.limits import EngineLimits
from atheria_server.engine.places import Waiting
from atheria_server.engine.process import STOP_SECONDS, BatchResult, WorkerProcess
from atheria_server.engine.standby import Standby
from atheria_server.engine.worker_stream import StreamEnd, WorkerStream

_LOG = logging.getLogger("atheria.engine")
BATCHES_AHEAD: Final = 1
"""Batches sent to a worker beyond the one that it computes, so that it never waits for the front."""
QUIET_TURNS: Final = 8
"""Turns of the event loop without a new call after which a batch is worth sending: calls that come together, go together,
and a lone call waits for some tens of microseconds."""
MAX_TURNS: Final = 80
"""A batch is sent after so many turns even if calls keep coming."""


class Engine:
    """Workers and their queue. `run` must be running; everything else may then be called from the same loop."""

    def __init__(
        self,
        *,
        limits: EngineLimits,
        events: EngineEvents,
        warm_up: WarmUp,
        workers: Sequence[WorkerProcess],
    ) -> None:
        self._limits = limits
        self._events = events
        self._queue = BoundedQueue(max_rows=limits.max_queue_rows, max_bytes=limits.max_queue_bytes)
        self._waiting: dict[int, Waiting] = {}
        self._row_limits = RowLimits()
        self._places = StreamPlaces(
            per_worker=limits.max_streams, unread_per_worker=limits.max_unread_streams
        )
        self.unread: UnreadFrames[WorkerStream] = UnreadFrames(limits.max_unread_bytes)
        """Frames of all streams that wait for their readers."""
        self.crew = Crew(
            workers,
            restarts=limits.restarts,
            events=events,
            warm_up=warm_up,
            unread=self.unread,
            listener=self,
        )
        """The workers."""
        self._in_flight = InFlight()
        self._next_id = 0
        self._draining = False
        self._refusing = False
        self._deciding: asyncio.Handle | None = None
        self._context = Context()
        """Of no call: what happens to a batch is not in the trace of the caller that came first."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self.ready_changed = asyncio.Event()
        """Set whenever `ready` may have changed; whoever waits for it clears it."""
        self.standby = Standby(
            workers=lambda: self.crew.ready,
            hindrance=self._hindrance,
            in_flight=lambda: self.in_flight,
            changed=self.workers_changed,
            events=events,
            fall_seconds=limits.fall_seconds,
        )

    @property
    def ready(self) -> bool:
        """All workers were loaded and warm, one still is, and the server is not going away."""
        return not self._draining and self.standby.is_ready and self.crew.was_ready and bool(self.crew.ready)

    @property
    def unready_reason(self) -> str:
        """Why `ready` is false; empty while it is true."""
        if self.ready:
            return ""
        if self._draining:
            return "the server is shutting down"
        if not self.standby.is_ready:
            return f"the model is {self.standby.phase.value}: a call wakes it"
        if self.crew.was_ready:
            return "the worker died and is starting again"
        return f"the model is not loaded yet: {self.crew.watch.phase.text}"

    @property
    def queue_depth(self) -> int:
        """Calls that wait for a worker."""
        return len(self._queue)

    @property
    def queue_fill(self) -> float:
        """Part of the queue's places that are taken, 0 to 1; each row of a call takes one."""
        return self._queue.rows / self._limits.max_queue_rows

    @property
    def in_flight(self) -> int:
        """Calls accepted and not answered, those that wait and those under a check that takes long included."""
        return self._in_flight.count

    def check_room(self) -> None:
        """Refuses a call before anybody reads it: the cheapest way to stay honest under overload. Raises FullError."""
        if self._queue.is_full:
            raise FullError(
                f"the queue holds {self._queue.rows} of {self._limits.max_queue_rows} rows; try again later"
            )

    async def run(self) -> None:
        """Start the workers and keep them alive until `stop`. Raises StartError when that is hopeless."""
        self._loop = asyncio.get_running_loop()
        await self.crew.run()

    async def compute(self, call: Call, timeout_seconds: float | None) -> Any:
        """The call's answer. Raises CallError; a cancelled caller frees its place at once."""
        call_id, started = self._admit(call, timeout_seconds)
        try:
            return await started
        finally:
            self._release(call_id)

    async def stream(self, call: Call, timeout_seconds: float | None) -> AsyncGenerator[InferAnswer]:
        """The call's frames. Raises CallError; a caller that leaves ends the computation."""
        call_id, started = self._admit(call, timeout_seconds)
        try:
            worker, stream = await started
            while not isinstance(item := await stream.take(), StreamEnd):
                worker.credit(stream)
                yield item
            if item.error is not None:
                raise item.error
            self._events.stream_computed(item.seconds, rows=call.rows)
        finally:
            self._release(call_id)

    def drain(self) -> None:
        """Say not ready from now on; calls are still accepted."""
        self._draining = True
        self.ready_changed.set()

    async def finish(self, timeout_seconds: float) -> int:
        """Accept no more and wait for the accepted calls. Gives how many were not answered in time."""
        self._refusing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._in_flight.none(), timeout_seconds)
        return self.in_flight

    async def stop(self, *, at_once: bool = False) -> None:
        """End the workers; what is still waiting fails with UnavailableError. `at_once` = do not wait for their steps."""
        self._refusing = True
        self.crew.start_no_more()
        self.standby.close()
        for waiting in self._waiting.values():
            if not waiting.started.done():
                kind = UnavailableError if waiting.has_begun else NotBegunError
                waiting.started.set_exception(kind("the server stops; try again"))
        grace = 0.0 if at_once else STOP_SECONDS
        await self.crew.stop(grace)

    def checking(self) -> contextlib.AbstractContextManager[None]:
        """Around a check that takes long: its call is in flight, and accepted (`Call.is_accepted`). Raises NotBegunError."""
        if self._refusing:
            raise NotBegunError("the server is shutting down; try again elsewhere")
        return self._in_flight.one()

    def _admit(self, call: Call, timeout_seconds: float | None) -> tuple[int, asyncio.Future[Any]]:
        """Put the call into the queue; `_release` it in every case. Raises CallError."""
        if self.crew.is_stopping or (self._refusing and not call.is_accepted):
            raise NotBegunError("the server is shutting down; try again elsewhere")
        if not self.crew.was_ready:
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
            bucket=call.bucket,
            rows=call.rows,
            size_bytes=call.size_bytes,
            arrived_at=now,
            deadline_at=None if timeout_seconds is None else now + timeout_seconds,
            streaming=call.streaming,
            priority=call.priority,
            caller=CALLER.get(),
        )
        try:
            self._queue.add(queued)
        except QueueFullError as error:
            raise FullError(str(error)) from error
        started: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[call_id] = Waiting(call=call, queued=queued, started=started)
        self._in_flight.began()
        self.standby.wanted()
        self._decide_soon()
        return call_id, started

    def _release(self, call_id: int) -> None:
        """The caller is answered or gone."""
        started = self._waiting.pop(call_id).started
        self._queue.remove(call_id)
        if started.done() and not started.cancelled() and started.exception() is None:
            match started.result():
                case (WorkerProcess() as worker, WorkerStream() as stream):
                    worker.cancel(stream)
                    stream.leave()
                    self._places.open_streams -= 1
                    self._decide_soon()
        self._in_flight.ended()

    def _decide_soon(self) -> None:
        """When calls stop arriving, a few turns of the loop from now: those that come together go together."""
        if self._deciding is None:
            self._turn(MAX_TURNS, 0)

    def _decide_when_quiet(self, seen_id: int, turns: int, quiet: int) -> None:
        quiet = quiet + 1 if seen_id == self._next_id else 0
        if quiet >= QUIET_TURNS or turns == 0 or self._queue.rows >= self._limits.batches.max_batch_size:
            self._decide()
        else:
            self._turn(turns - 1, quiet)

    def _turn(self, turns: int, quiet: int) -> None:
        """Not in the caller's context: what is decided is not this caller's alone."""
        self._deciding = self._loop.call_soon(
            self._decide_when_quiet, self._next_id, turns, quiet, context=self._context
        )

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
            self._timer = self._loop.call_at(decision.wake_at, self._decide, context=self._context)

    def _capacity(self) -> Capacity:
        workers = self.crew.ready if self.standby.is_serving else []
        return Capacity(
            idle_workers=sum(1 for w in workers if w.batches_in_flight == 0),
            ahead_slots=sum(max(0, 1 + BATCHES_AHEAD - max(1, w.batches_in_flight)) for w in workers),
            stream_slots=self._places.free([worker.streams_in_flight for worker in workers]),
            rows_that_fit=self._row_limits,
        )

    def _carry_out(self, decision: Decision, now: float) -> None:
        for queued in decision.expired:
            waiting = self._waiting[queued.call_id]
            if not waiting.started.done():
                waiting.started.set_exception(
                    ExpiredError("the deadline passed while the call waited in the queue")
                )
        for batch in decision.batches:
            with self._answering(batch):
                self._send_batch(batch, now)
        for queued in decision.streams:
            with self._answering([queued]):
                self._send_stream(queued, now)

    @contextlib.contextmanager
    def _answering(self, taken: Sequence[QueuedCall]) -> Iterator[None]:
        """They are out of the queue: whatever goes wrong with sending them, they are answered."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be answered
            _LOG.exception("event=dispatch_failed calls=%d", len(taken))
            for queued in taken:
                if not (started := self._waiting[queued.call_id].started).done():
                    started.set_exception(
                        FailedError(f"the server failed with {type(error).__name__}; see its log")
                    )

    def _send_batch(self, batch: Sequence[QueuedCall], now: float) -> None:
        members = [self._begin(queued) for queued in batch]
        calls = [member.call for member in members]
        waits = [now - queued.arrived_at for queued in batch]
        self._events.batch_sent(sum(call.rows for call in calls), waits, calls)
        if (length := calls[0].padded_length) is not None:
            used = sum(call.rows * call.own_length for call in calls)
            self._events.batch_padded(length, used=used, rows=sum(call.rows for call in calls))
        worker = min(self.crew.ready, key=lambda w: w.batches_in_flight)
        future = worker.compute(calls, wanted_until=wanted_until(batch))
        future.add_done_callback(partial(self._on_batch, members))

    def _send_stream(self, queued: QueuedCall, now: float) -> None:
        waiting = self._begin(queued)
        self._events.stream_sent(now - queued.arrived_at, waiting.call)
        worker = min(self.crew.ready, key=lambda w: w.streams_in_flight)
        if not waiting.started.done():
            self._places.open_streams += 1
            waiting.started.set_result((worker, worker.stream(waiting.call)))

    def _hindrance(self) -> str:
        """Why the workers must not be put to sleep now."""
        if self._draining or self._refusing:
            return "the server is shutting down"
        return "" if self.crew.all_ready else "not all workers are ready"

    def _begin(self, queued: QueuedCall) -> Waiting:
        waiting = self._waiting[queued.call_id]
        waiting.has_begun = True
        return waiting

    def _on_batch(self, members: Sequence[Waiting], done: asyncio.Future[BatchResult]) -> None:
        self._decide_soon()
        error = done.exception()
        if error is None:
            result = done.result()
            rows = sum(member.call.rows for member in members)
            calls = [member.call for member in members]
            self._events.batch_computed(
                result.seconds,
                rows=rows,
                calls=len(calls),
                copy_seconds=result.copy_seconds,
                device_seconds=result.device_seconds,
                members=calls,
            )
            self._events.decoded_before(result.cache_hits, result.cache_misses)
            if result.compilations or result.eager_fallbacks:
                self._events.compiled(result.compilations, result.eager_fallbacks)
            if result.rows_that_fit is not None:
                _LOG.warning("event=batch_too_large rows=%d fits=%d", rows, result.rows_that_fit)
                self.limit_rows(members[0].call.bucket, result.rows_that_fit)
        for index, member in enumerate(members):
            if member.started.done():
                continue
            answer = error if error is not None else done.result().results[index]
            if isinstance(answer, WorkerLostError) and self._may_retry(member):
                self._retry(member)
            elif isinstance(answer, BaseException):
                member.started.set_exception(answer)
            else:
                member.started.set_result(answer)

    def _may_retry(self, member: Waiting) -> bool:
        return self._limits.idempotent and not member.is_retried and not self.crew.is_stopping

    def _retry(self, member: Waiting) -> None:
        """Alone: the call that killed the worker must not take its neighbours with it again."""
        member.is_retried = True
        self._queue.put_back(replace(member.queued, bucket=("retry", member.queued.call_id)))
        self._events.call_retried()

    def workers_changed(self) -> None:
        """See CrewListener; also when they sleep or are awake."""
        self.ready_changed.set()
        self._decide_soon()

    def place_freed(self) -> None:
        """See CrewListener."""
        self._decide_soon()

    def worker_lost(self) -> None:
        """See CrewListener."""
        self.standby.lost()
        self.ready_changed.set()

    def limit_batches(self, rows: int) -> None:
        """See CrewListener."""
        batches = self._limits.batches
        smaller = replace(batches, max_batch_size=min(rows, batches.max_batch_size))
        self._limits = replace(self._limits, batches=smaller)

    def limit_rows(self, bucket: Hashable, fits: int) -> None:
        """The device holds no more rows than that in one batch of this bucket."""
        self._row_limits.lower(bucket, fits)
