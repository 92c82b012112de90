"""The front's handle of one worker process: starts it, sends it work, and notices at once when it dies.

Used by `engine.crew` and `engine.engine` only. Everything runs in the front's event loop; no thread, no polling.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from atheria_server.core.errors import BY_CODE, CallError, FailedError, StartError, WorkerLostError
from atheria_server.core.infer import InferAnswer
from atheria_server.core.memory_fit import Footprint
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.engine import memory
from atheria_server.engine.buffers import BufferPool, BufferViews, Traffic
from atheria_server.engine.call_entries import entries, wanted_outputs
from atheria_server.engine.calls import Call
from atheria_server.engine.device_rest import Rested
from atheria_server.engine.launch import Launched, WorkerSpec, launch
from atheria_server.engine.phases import Phase
from atheria_server.engine.worker_stream import StreamEnd, WorkerStream

_LOG = logging.getLogger("atheria.engine")
CONFIG_WORK: Final = 0
"""Number of the first message, which no batch or stream has."""
STOP_SECONDS: Final = 5.0
"""A worker that was told to end and has not by then is killed."""


class WorkerDiedError(Exception):
    """The process is gone; the message says how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchResult:
    """What came back for a batch: one answer, packed body or error a call, in the batch's order."""

    results: tuple[Any, ...]
    seconds: float
    """Inside the worker."""
    copy_seconds: float = 0.0
    """For copying inputs into shared memory and outputs out of it."""
    device_seconds: float | None = None
    """Where the worker measured the device itself."""
    cache_hits: int = 0
    """Requests whose decoded form was known."""
    cache_misses: int = 0
    compilations: int = 0
    """Graphs that were compiled for this batch."""
    eager_fallbacks: int = 0
    """Compiled functions that were computed without their compiled form in this batch."""
    footprint: Footprint | None = None
    """Where it was asked for."""
    rows_that_fit: int | None = None
    """Where the device's memory held fewer rows than were sent: how many."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Batch:
    calls: Sequence[Call]
    done: asyncio.Future[BatchResult]
    copy_seconds: float = 0.0


Post = Callable[[], None]
"""Sends one message; raises BlockingIOError to be called again later."""


class WorkerProcess:
    """A running worker. The process is started by the constructor, which needs no event loop; then `attach` it."""

    def __init__(self, spec: WorkerSpec, launched: Launched | None = None) -> None:
        """`launched` is its process where that was started before."""
        self.spec = spec
        launched = launched or launch(spec)
        self._sock, self._process = launched.sock, launched.process
        self._pool = BufferPool()
        self._views = BufferViews()
        self._lent: dict[int, int] = {}
        """Buffer of each work that the worker has not finished."""
        self._seal(memory.BodyWriter(), memory.CONFIG, CONFIG_WORK, spec.body()).post(self._sock)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._batches: dict[int, _Batch] = {}
        self._streams: dict[int, WorkerStream] = {}
        self._unread: UnreadFrames[WorkerStream]
        self._rests: dict[int, asyncio.Future[Rested]] = {}
        """Orders to free the device or to take it again that were not answered."""
        self._outbox: deque[Post] = deque()
        self._is_writing = False
        self._on_stream_ended: Callable[[], None]
        self._on_report: Callable[[int, Mapping[str, Any]], None]
        self._next_id = 0
        self._loop: asyncio.AbstractEventLoop
        self.loaded: asyncio.Future[Mapping[str, Any]]
        """Seconds and a report once it can compute; StartError or WorkerDiedError if it never can."""
        self.phases: asyncio.Queue[Phase] = asyncio.Queue()
        """What it does until then."""
        self.ended: asyncio.Future[str]
        """How the process ended."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False from the moment that its end is seen."""
        return not self.ended.done()

    @property
    def traffic(self) -> Traffic:
        """Through the memory shared with it."""
        return Traffic(
            buffers_made=self._pool.made_total,
            buffers_lent=self._pool.lent_total,
            written_bytes=self._pool.written_bytes,
            read_bytes=self._views.read_bytes,
        )

    @property
    def batches_in_flight(self) -> int:
        """Sent and not answered."""
        return len(self._batches)

    @property
    def streams_in_flight(self) -> int:
        """Started and not ended."""
        return len(self._streams)

    def attach(
        self,
        on_stream_ended: Callable[[], None],
        on_report: Callable[[int, Mapping[str, Any]], None] = lambda *_: None,
        unread: UnreadFrames[WorkerStream] | None = None,
    ) -> None:
        """Listen to it in the running event loop; `on_stream_ended` is told when the place of a stream is free again,
        `on_report` what a continuous model counted, after the process id; `unread` bounds the frames of all workers that wait."""
        self._unread = UnreadFrames() if unread is None else unread
        self._on_stream_ended = on_stream_ended
        self._on_report = on_report
        self._loop = asyncio.get_running_loop()
        self.loaded = self._loop.create_future()
        self.loaded.add_done_callback(lambda done: done.cancelled() or done.exception())  # may have no reader
        self.ended = self._loop.create_future()
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
        self._loop.add_reader(self._pidfd, self._on_exit)

    def compute(
        self, calls: Sequence[Call], *, wanted_until: float = 0.0, measured: bool = False
    ) -> asyncio.Future[BatchResult]:
        """Send a batch of equal buckets. The future fails with WorkerLostError when the worker dies.

        `wanted_until` = monotonic time from which nobody waits for it, 0 = never: it is not computed if the worker comes
        to it later. `measured` = tell the memory that it takes, too; nothing else may run meanwhile.
        """
        done: asyncio.Future[BatchResult] = self._loop.create_future()
        work_id = self._new_id()
        batch = self._batches[work_id] = _Batch(calls=tuple(calls), done=done)
        try:
            began = time.perf_counter()
            self._send_calls(memory.RUN, work_id, calls, wanted_until, measured=measured)
            batch.copy_seconds = time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be answered
            del self._batches[work_id]
            done.set_exception(_not_sent(error))
        return done

    def stream(self, call: Call) -> WorkerStream:
        """Start a stream. `take` until StreamEnd, `credit` after each frame, or `cancel` it; `leave` it in every case."""
        stream = WorkerStream(self._new_id(), call, self._unread, lambda: self.cancel(stream))
        self._streams[stream.work_id] = stream
        try:
            self._send_calls(memory.STREAM, stream.work_id, [call])
        except Exception as error:  # noqa: BLE001 - as above
            del self._streams[stream.work_id]
            stream.end(StreamEnd(error=_not_sent(error)))
        return stream

    def credit(self, stream: WorkerStream) -> None:
        """The caller took a frame."""
        if stream.work_id in self._streams:
            self._send_short(memory.CREDIT, stream.work_id)

    def cancel(self, stream: WorkerStream) -> None:
        """Nobody waits for the rest. Its place is free when the worker has let go of it."""
        if stream.work_id in self._streams and not stream.is_cancelled:
            stream.is_cancelled = True
            self._send_short(memory.CANCEL, stream.work_id)

    def rest(self) -> asyncio.Future[Rested]:
        """Let it free its device. The future fails with CallError, or WorkerLostError when the worker dies."""
        return self._order(memory.REST)

    def rouse(self) -> asyncio.Future[Rested]:
        """Let it take its device again; as `rest`."""
        return self._order(memory.ROUSE)

    async def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End the process: politely, then by force. Its work in flight fails."""
        self._close_socket()
        try:
            await asyncio.wait_for(asyncio.shield(self.ended), grace_seconds)
        except TimeoutError:
            _LOG.warning("event=worker_killed pid=%d reason=not_gone_after_%gs", self.pid, grace_seconds)
            self._process.kill()
            await self.ended

    def kill(self) -> None:
        """End the process now if it still runs, and wait for that."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def give_up(self) -> None:
        """Have the process ended, without waiting: one that is stuck in a driver may take its time."""
        if self._process.poll() is None:
            self._process.kill()

    def _order(self, kind: int) -> asyncio.Future[Rested]:
        answer: asyncio.Future[Rested] = self._loop.create_future()
        work_id = self._new_id()
        self._rests[work_id] = answer
        self._send_short(kind, work_id)
        return answer

    def _send_calls(
        self,
        kind: int,
        work_id: int,
        calls: Sequence[Call],
        wanted_until: float = 0.0,
        *,
        measured: bool = False,
    ) -> None:
        writer = memory.BodyWriter()
        body = {"entries": entries(writer, calls), "wanted": wanted_outputs(calls), "measure": measured}
        sealed = self._seal(
            writer, kind, work_id, body, time_seconds=wanted_until, repeats=calls[0].described
        )
        self._send(partial(sealed.post, self._sock))

    def _seal(
        self,
        writer: memory.BodyWriter,
        kind: int,
        work_id: int,
        body: Mapping[str, Any],
        *,
        time_seconds: float = 0.0,
        repeats: bool = False,
    ) -> memory.Sealed:
        sealed = writer.seal(self._pool, kind, work_id, body, time_seconds=time_seconds, repeats=repeats)
        self._lent[work_id] = sealed.buffer.buffer_id
        return sealed

    def _send_short(self, kind: int, number: int) -> None:
        self._send(partial(memory.send_short, self._sock, kind, number))

    def _send(self, post: Post) -> None:
        """In order; a worker that computes for long reads nothing meanwhile, and the socket holds few messages."""
        self._outbox.append(post)
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox:
            try:
                self._outbox[0]()
            except BlockingIOError:
                if not self._is_writing:
                    self._is_writing = True
                    self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                _LOG.debug("event=send_failed pid=%d", self.pid)  # it died; _on_exit fails the work
                self._drop_outbox()
                return
            self._outbox.popleft()
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._is_writing and self._sock.fileno() >= 0:
            self._loop.remove_writer(self._sock.fileno())
        self._is_writing = False

    def _drop_outbox(self) -> None:
        self._stop_writing()
        self._outbox.clear()

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _on_readable(self) -> bool:
        """Take one message; False if there is none. The loop calls again while there are more."""
        try:
            message = memory.receive(self._sock, self._views)
        except BlockingIOError:
            return False
        except ConnectionError:
            message = None
        except OSError as error:
            # Such as no file handle for its buffer: what it said is lost, so nobody may wait for it.
            _LOG.error("event=worker_unreadable error=%r", error)
            self.give_up()
            message = None
        if message is None:
            self._loop.remove_reader(self._sock.fileno())
            return False
        self._handle(message)
        return True

    def _handle(self, message: memory.Message) -> None:
        if message.kind == memory.DONE:
            self._finished(message.work_id)
            if batch := self._batches.pop(message.work_id, None):
                try:
                    _finish(batch, message)
                except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be answered
                    batch.done.set_exception(_unreadable(error))
            elif stream := self._streams.pop(message.work_id, None):
                failure = message.body.get("error")
                end = StreamEnd(error=_error(failure) if failure else None, seconds=message.time_seconds)
                stream.end(end)
                self._on_stream_ended()
            elif (order := self._rests.pop(message.work_id, None)) and not order.done():
                if failure := message.body.get("error"):
                    order.set_exception(_error(failure))
                else:
                    order.set_result(Rested(**message.body))
        elif message.kind == memory.FRAME:
            running = self._streams.get(message.work_id)
            if running is not None and not running.is_cancelled:
                try:
                    running.put(_frame(running.call, message))
                except Exception as error:  # noqa: BLE001 - as above
                    running.end(StreamEnd(error=_unreadable(error)))
        elif message.kind == memory.FORGET:
            self._views.forget(message.work_id)
        elif message.kind == memory.HELLO:
            self._finished(CONFIG_WORK)
            self.loaded.set_result(message.body)
        elif message.kind == memory.PHASE:
            self.phases.put_nowait(Phase(**message.body))
        elif message.kind == memory.REPORT:
            self._on_report(self.pid, message.body)
        elif message.kind == memory.FATAL:
            self.loaded.set_exception(StartError(message.body["reason"]))
        if message.buffer_id:
            self._send_short(memory.FREE, message.buffer_id)

    def _finished(self, work_id: int) -> None:
        """The worker has let go of what was sent for it."""
        buffer_id = self._lent.pop(work_id, None)
        if buffer_id is not None and (gone := self._pool.take_back(buffer_id)) is not None:
            self._send_short(memory.FORGET, gone)

    def _on_exit(self) -> None:
        self._on_readable_rest()
        self._views.forget_all()  # what it sent was copied
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        how = _ending(self._process.wait())
        self._close_socket()
        reason = f"the worker died ({how}) before the answer; try again"
        for batch in self._batches.values():
            if not batch.done.done():
                batch.done.set_exception(WorkerLostError(reason))
        for stream in self._streams.values():
            stream.end(StreamEnd(error=WorkerLostError(reason)))
        for order in self._rests.values():
            if not order.done():
                order.set_exception(WorkerLostError(reason))
        self._batches.clear()
        self._streams.clear()
        self._rests.clear()
        if not self.loaded.done():
            self.loaded.set_exception(WorkerDiedError(how))
        self.ended.set_result(how)

    def _on_readable_rest(self) -> None:
        """What it sent before it died still counts."""
        while self._sock.fileno() >= 0 and self._on_readable():
            pass

    def _close_socket(self) -> None:
        self._drop_outbox()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._pool.close()


def _not_sent(error: Exception) -> FailedError:
    _LOG.error("event=not_sent error=%r", error)
    return FailedError(f"the call could not be handed to the worker: {error}")


def _finish(batch: _Batch, message: memory.Message) -> None:
    if batch.done.done():
        return
    body = message.body
    began = time.perf_counter()
    if "error" in body:
        batch.done.set_exception(_error(body["error"]))
        return
    results = (
        _split(message.copies(body["outputs"]), batch.calls)
        if "outputs" in body
        else [_result(message, entry) for entry in body["calls"]]
    )
    cache_hits, cache_misses = body.get("cache", (0, 0))
    batch.done.set_result(
        BatchResult(
            results=tuple(results),
            seconds=message.time_seconds,
            copy_seconds=batch.copy_seconds + time.perf_counter() - began,
            device_seconds=body.get("device_seconds"),
            cache_hits=cache_hits,
            cache_misses=cache_misses,
            compilations=body.get("compilations", 0),
            eager_fallbacks=body.get("eager_fallbacks", 0),
            footprint=Footprint(**body["footprint"]) if "footprint" in body else None,
            rows_that_fit=body.get("rows_that_fit"),
        )
    )


def _frame(call: Call, message: memory.Message) -> InferAnswer:
    body = message.body
    return InferAnswer(
        outputs=call.cut(message.copies(body["outputs"])),
        parameters=dict(body["parameters"]),
        body=message.parts(body.get("body", ())),
    )


def _unreadable(error: Exception) -> FailedError:
    _LOG.error("event=answer_unreadable", exc_info=error)
    return FailedError(f"the model's answer cannot be used: {type(error).__name__}: {error}")


def _split(arrays: Mapping[str, Any], calls: Sequence[Call]) -> list[InferAnswer]:
    answers = []
    at = 0
    for call in calls:
        outputs = {name: a[at : at + call.rows] for name, a in arrays.items()}
        answers.append(InferAnswer(outputs=call.cut(outputs)))
        at += call.rows
    return answers


def _result(message: memory.Message, entry: Mapping[str, Any]) -> Any:
    if "error" in entry:
        return _error(entry["error"])
    if "body" in entry:
        return message.parts(entry["body"])
    return InferAnswer(outputs=message.copies(entry["outputs"]))


def _error(pair: Sequence[str]) -> CallError:
    return BY_CODE.get(pair[0], FailedError)(pair[1])


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    hint = "; out of memory?" if -status == signal.SIGKILL else ""
    return f"signal {signal.Signals(-status).name}{hint}"
