"""The worker's life after `setup`: waits on the socket, computes batches, and makes frames of streams in between.

Run by `engine.worker_main` in a process of its own; the other end of the socket is `engine.process`.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from atheria_server.core.errors import CallError, FailedError
from atheria_server.engine import bodies, hooks, memory
from atheria_server.engine.async_frames import AsyncLoop
from atheria_server.engine.buffers import BufferPool, BufferViews
from atheria_server.engine.compilations import compilation_count
from atheria_server.engine.device_memory import measure
from atheria_server.engine.device_rest import DeviceRest, Rested
from atheria_server.engine.out_of_memory import compute_in_parts
from atheria_server.engine.plain_tensors import as_outputs
from atheria_server.models.contract import Array, Batch, is_continuous
from atheria_server.optimize.compiled import Compiled
from atheria_server.optimize.row_padding import cut, filled, padded

_LOG = logging.getLogger("atheria.worker")
FRAMES_AHEAD: Final = 4
"""Frames a stream may be ahead of its reader, where a frame is made when it is taken."""
REPORT_SECONDS: Final = 1.0
"""Between two reports of a continuous model that is at work."""
_END: Final = object()
_EXPIRED: Final = ("DEADLINE_EXCEEDED", "the deadline passed while the call waited for the worker")
_UNWRITABLE: Final = "the model's answer holds something that is neither a tensor nor JSON: {}"


@dataclass(slots=True, kw_only=True)
class _Stream:
    frames: Iterator[Any]
    entry: dict[str, Any]
    wanted: list[str] | None
    made_unasked: bool
    """A running batch makes its frames whether or not they are taken: the front has them at once, where what waits is bounded."""
    credit: int = FRAMES_AHEAD
    seconds: float = 0.0

    @property
    def can_advance(self) -> bool:
        """Whether there is a place for a frame, and the frame does not have to be waited for."""
        has_place = self.made_unasked or self.credit > 0
        return has_place and bool(getattr(self.frames, "ready", True))


class Worker:
    """Serves a loaded LitAPI until the front goes away."""

    def __init__(
        self,
        api: Any,
        sock: socket.socket,
        views: BufferViews,
        pool: BufferPool,
        *,
        described: bool,
        device: str = "cpu",
        compiled: Compiled | None = None,
        fixed: str = "",
    ) -> None:
        """`fixed` = why the model's tensors must stay on the device while the server sleeps; empty = they need not."""
        self._api = api
        self._device_rest = DeviceRest(device, fixed=fixed)
        self._compiled = compiled
        self._eager_fallbacks = 0
        self._device = device
        self._compilations = compilation_count()
        self._cache_counts = (0, 0)
        self._sock = sock
        self._views = views
        self._pool = pool
        self._described = described
        self._continuous = is_continuous(api)
        self._report_at: float | None = None
        """When the front is told next what a continuous model does; None = it does nothing."""
        self._streams: dict[int, _Stream] = {}
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._async_loop: AsyncLoop | None = None if described else api.async_loop
        if self._async_loop:
            self._poll.register(self._async_loop, select.POLLIN)

    def run(self) -> None:
        """Until the front's end of the socket is closed."""
        try:
            self._loop()
        except (BrokenPipeError, ConnectionResetError):
            _LOG.info("event=worker_stop reason=front_gone")

    def _loop(self) -> None:
        """One message, then one frame of each stream, in turn: neither keeps the other waiting for long.

        A continuous model gets all messages before its step: who enters or leaves the running batch does so at once. And all
        frames that a step made are gone before the next one: none wait here. They go in turns, between which buffers come back.
        """
        while True:
            runnable = [work_id for work_id, stream in self._streams.items() if stream.can_advance]
            has_work = self._continuous and self._api.has_work
            readable = [fd for fd, _ in self._poll.poll(0 if runnable or has_work else None)]
            if self._async_loop and self._async_loop.fileno() in readable:
                self._async_loop.drain()
            while self._sock.fileno() in readable:
                message = memory.receive(self._sock, self._views)
                if message is None:
                    return
                self._handle(message)
                readable = [fd for fd, _ in self._poll.poll(0)] if self._continuous else []
            for work_id in runnable:
                if work_id in self._streams:
                    self._advance(work_id)
            if self._continuous and not any(stream.can_advance for stream in self._streams.values()):
                self._step()

    def _step(self) -> None:
        """Of a continuous model: go on, and tell the front what was counted."""
        if self._api.has_work:
            self._report_at = self._report_at or time.monotonic() + REPORT_SECONDS
            try:
                self._api.step()
            except Exception as error:  # noqa: BLE001 - model code may raise anything; the callers learn it
                for work_id in list(self._streams):
                    stream = self._streams.pop(work_id)
                    _close(stream.frames)
                    self._send(memory.DONE, work_id, _error(error), stream.seconds)
        if self._report_at is None:
            return
        if not self._api.has_work or time.monotonic() >= self._report_at:
            self._send(memory.REPORT, 0, self._api.report())
            self._report_at = None

    def _handle(self, message: memory.Message) -> None:
        if message.kind == memory.RUN:
            self._compute(message)
        elif message.kind == memory.STREAM:
            self._start(message)
        elif message.kind == memory.CREDIT:
            if stream := self._streams.get(message.work_id):
                stream.credit += 1
        elif message.kind == memory.CANCEL and (stream := self._streams.pop(message.work_id, None)):
            _close(stream.frames)
            # The front gives the place to the next stream only now: a caller cannot have more than it gave up.
            self._send(memory.DONE, message.work_id, {})
        elif message.kind in (memory.REST, memory.ROUSE):
            self._rest(message)
        elif message.kind == memory.FREE:
            if (gone := self._pool.take_back(message.work_id)) is not None:
                memory.send_short(self._sock, memory.FORGET, gone)
        elif message.kind == memory.FORGET:
            self._views.forget(message.work_id)

    def _compute(self, message: memory.Message) -> None:
        began = time.monotonic()
        if 0 < message.time_seconds <= began:
            self._send(memory.DONE, message.work_id, {"error": _EXPIRED})
            return
        writer = memory.BodyWriter()
        if message.body.get("measure"):
            body, footprint = measure(
                self._device, message.body["entries"][0]["rows"], partial(self._results, message, writer)
            )
            body["footprint"] = asdict(footprint)
        else:
            body = self._results(message, writer)
        seconds = time.monotonic() - began
        if (compilations := compilation_count()) != self._compilations:
            body["compilations"] = compilations - self._compilations
            self._compilations = compilations
        if self._compiled and (fallbacks := self._compiled.eager_fallbacks()) != self._eager_fallbacks:
            body["eager_fallbacks"] = fallbacks - self._eager_fallbacks
            self._eager_fallbacks = fallbacks
        if not self._described and (counts := self._api.cache_counts()) != self._cache_counts:
            body["cache"] = [now - before for now, before in zip(counts, self._cache_counts, strict=True)]
            self._cache_counts = counts
        try:
            sealed = writer.seal(
                self._pool, memory.DONE, message.work_id, body, time_seconds=seconds, repeats=self._described
            )
        except (TypeError, ValueError) as error:
            self._send(memory.DONE, message.work_id, _unwritable(error))
            return
        sealed.post(self._sock)

    def _rest(self, message: memory.Message) -> None:
        began = time.monotonic()
        try:
            if message.kind == memory.REST:
                rested = self._device_rest.rest()
            else:
                self._device_rest.rouse()
                rested = Rested(seconds=time.monotonic() - began)
            body = asdict(rested)
        except Exception as error:  # noqa: BLE001 - the device may refuse in many ways; the front decides what then
            body = _error(error)
        self._send(memory.DONE, message.work_id, body)

    def _results(self, message: memory.Message, writer: memory.BodyWriter) -> dict[str, Any]:
        entries = message.body["entries"]
        wanted = message.body["wanted"]
        if self._described:
            try:
                outputs, fits = compute_in_parts(self._compute_described, _batch(message, entries[0]))
                return {"outputs": writer.add_all(outputs, wanted), "rows_that_fit": fits}
            except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
                return _error(error)
        try:
            requests = [hooks.plain_request(self._api, message, entry) for entry in entries]
            if self._compiled:
                requests = filled(requests, self._compiled.row_buckets)
            results = hooks.compute_plain(self._api, requests)[: len(entries)]
        except Exception as error:  # noqa: BLE001 - as above
            return _error(error)
        pairs = zip(entries, results, strict=True)
        return {"calls": [_answer(writer, entry, result) for entry, result in pairs]}

    def _compute_described(self, batch: Batch) -> dict[str, Array]:
        if self._compiled is None:
            return hooks.compute_described(self._api, batch)
        full = padded(batch, self._compiled.row_buckets)
        return cut(hooks.compute_described(self._api, full), batch.rows)

    def _start(self, message: memory.Message) -> None:
        entry = message.body["entries"][0]
        try:
            frames = (
                iter(self._api.stream_frames(_batch(message, entry)))
                if self._described
                else hooks.stream_plain(self._api, hooks.plain_request(self._api, message, entry))
            )
        except Exception as error:  # noqa: BLE001 - as above
            self._send(memory.DONE, message.work_id, _error(error))
            return
        self._streams[message.work_id] = _Stream(
            frames=frames, entry=entry, wanted=message.body["wanted"], made_unasked=self._continuous
        )

    def _advance(self, work_id: int) -> None:
        stream = self._streams[work_id]
        began = time.monotonic()
        try:
            frame = next(stream.frames, _END)
            stream.seconds += time.monotonic() - began
            if frame is not _END:
                stream.credit -= 1
                self._frame(stream, work_id, frame).post(self._sock)
                return
            end: dict[str, Any] = {}
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            end = _error(error)
        del self._streams[work_id]
        _close(stream.frames)  # a frame that cannot be sent is not their end
        self._send(memory.DONE, work_id, end, stream.seconds)

    def _frame(self, stream: _Stream, work_id: int, frame: Any) -> memory.Sealed:
        writer = memory.BodyWriter()
        body = self._frame_body(writer, stream, frame)
        try:
            return writer.seal(self._pool, memory.FRAME, work_id, body)
        except (TypeError, ValueError) as error:
            raise FailedError(_UNWRITABLE.format(error)) from error

    def _send(self, kind: int, work_id: int, body: Mapping[str, Any], seconds: float = 0.0) -> None:
        memory.BodyWriter().seal(self._pool, kind, work_id, body, time_seconds=seconds).post(self._sock)

    def _frame_body(self, writer: memory.BodyWriter, stream: _Stream, frame: Any) -> dict[str, Any]:
        if self._described:
            outputs = writer.add_all(frame.outputs, stream.wanted)
            return {"outputs": outputs, "parameters": bodies.as_json(frame.parameters)}
        body: dict[str, Any] = {"outputs": [], "parameters": {}}
        if "body" in stream.entry:
            return body | {"body": writer.add_parts(hooks.pack_frame(self._api, stream.entry, frame))}
        return body | {"outputs": writer.add_all(as_outputs(frame))}


def _batch(message: memory.Message, entry: dict[str, Any]) -> Batch:
    return Batch(
        inputs=message.arrays(entry["tensors"]), parameters=dict(entry["parameters"]), rows=entry["rows"]
    )


def _answer(writer: memory.BodyWriter, entry: dict[str, Any], result: Any) -> dict[str, Any]:
    """Of one call: what the hooks gave for it, or the exception that they ended with."""
    try:
        if isinstance(result, Exception):
            raise result
        if "body" in entry:
            return {"body": writer.add_parts(bodies.pack_answer(result))}
        return {"outputs": writer.add_all(as_outputs(result))}
    except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
        if "body" in entry and (as_raised := bodies.pack_error(error)):
            return {"body": writer.add_parts(as_raised)}
        return _error(error)


def _error(error: Exception) -> dict[str, Any]:
    failure: CallError = hooks.as_call_error(error)
    if failure.code == "INTERNAL":
        _LOG.error("event=model_failed", exc_info=error)
    return {"error": [failure.code, str(failure)]}


def _unwritable(error: Exception) -> dict[str, Any]:
    return _error(FailedError(_UNWRITABLE.format(error)))


def _close(frames: Iterator[Any]) -> None:
    close = getattr(frames, "close", None)
    if close is not None:
        try:
            close()
        except Exception:  # noqa: BLE001 - as above
            _LOG.exception("event=stream_close_failed")
