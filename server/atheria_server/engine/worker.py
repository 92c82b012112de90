"""The worker's life after `setup`: waits on the socket, computes batches, and makes frames of streams in between.

Run by `engine.worker_main` in a process of its own; the other end of the socket is `engine.process`.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from atheria_server.core.errors import CallError, FailedError
from atheria_server.engine import hooks, memory
from atheria_server.models.contract import Batch

_LOG = logging.getLogger("atheria.worker")
FRAMES_AHEAD: Final = 4
"""Frames a stream may be ahead of its reader."""
_END: Final = object()
_UNWRITABLE: Final = "the model's answer holds something that is neither a tensor nor JSON: {}"


@dataclass(slots=True, kw_only=True)
class _Stream:
    frames: Iterator[Any]
    entry: dict[str, Any]
    wanted: list[str] | None
    credit: int = FRAMES_AHEAD
    seconds: float = 0.0


class Worker:
    """Serves a loaded LitAPI until the front goes away."""

    def __init__(self, api: Any, sock: socket.socket, *, described: bool) -> None:
        self._api = api
        self._sock = sock
        self._described = described
        self._streams: dict[int, _Stream] = {}
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def run(self) -> None:
        """Until the front's end of the socket is closed."""
        try:
            self._loop()
        except (BrokenPipeError, ConnectionResetError):
            _LOG.info("event=worker_stop reason=front_gone")

    def _loop(self) -> None:
        """One message, then one frame of each stream, in turn: neither keeps the other waiting for long."""
        while True:
            runnable = [work_id for work_id, stream in self._streams.items() if stream.credit > 0]
            if self._poll.poll(0 if runnable else None):
                message = memory.receive(self._sock)
                if message is None:
                    return
                self._handle(message)
            for work_id in runnable:
                if work_id in self._streams:
                    self._advance(work_id)

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
            memory.send_body(self._sock, memory.DONE, message.work_id, {})

    def _compute(self, message: memory.Message) -> None:
        began = time.monotonic()
        writer = memory.BodyWriter()
        try:
            body = self._results(message, writer)
            body["seconds"] = time.monotonic() - began
            try:
                writer.send(self._sock, memory.DONE, message.work_id, body)
            except (TypeError, ValueError) as error:
                memory.send_body(self._sock, memory.DONE, message.work_id, _unwritable(error))
        finally:
            writer.close()

    def _results(self, message: memory.Message, writer: memory.BodyWriter) -> dict[str, Any]:
        entries = message.body["entries"]
        wanted = message.body["wanted"]
        if self._described:
            try:
                outputs = hooks.compute_described(self._api, _batch(message, entries[0]))
                return {"outputs": writer.add_all(outputs, wanted)}
            except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
                return _error(error)
        try:
            requests = [_request(message, entry) for entry in entries]
            results = hooks.compute_plain(self._api, requests)
            pairs = zip(entries, results, strict=True)
            return {"calls": [_answer(writer, entry, result) for entry, result in pairs]}
        except Exception as error:  # noqa: BLE001 - as above
            if len(entries) == 1:
                return _error(error)
        # One bad call must not fail its neighbours: compute them one by one.
        return {"calls": [self._one(message, writer, entry) for entry in entries]}

    def _one(
        self, message: memory.Message, writer: memory.BodyWriter, entry: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            return _answer(writer, entry, hooks.compute_plain(self._api, [_request(message, entry)])[0])
        except Exception as error:  # noqa: BLE001 - as above
            return _error(error)

    def _start(self, message: memory.Message) -> None:
        entry = message.body["entries"][0]
        try:
            frames = (
                iter(self._api.stream_frames(_batch(message, entry)))
                if self._described
                else hooks.stream_plain(self._api, _request(message, entry))
            )
        except Exception as error:  # noqa: BLE001 - as above
            memory.send_body(self._sock, memory.DONE, message.work_id, _error(error))
            return
        self._streams[message.work_id] = _Stream(frames=frames, entry=entry, wanted=message.body["wanted"])

    def _advance(self, work_id: int) -> None:
        stream = self._streams[work_id]
        began = time.monotonic()
        writer = memory.BodyWriter()
        try:
            try:
                frame = next(stream.frames, _END)
                stream.seconds += time.monotonic() - began
                if frame is not _END:
                    stream.credit -= 1
                    self._send_frame(writer, work_id, stream, frame)
                    return
                end: dict[str, Any] = {"seconds": stream.seconds}
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:  # noqa: BLE001 - as above
                end = _error(error)
            del self._streams[work_id]
            memory.send_body(self._sock, memory.DONE, work_id, end)
        finally:
            writer.close()

    def _send_frame(self, writer: memory.BodyWriter, work_id: int, stream: _Stream, frame: Any) -> None:
        body = self._frame(writer, stream, frame)
        try:
            writer.send(self._sock, memory.FRAME, work_id, body)
        except (TypeError, ValueError) as error:
            raise FailedError(_UNWRITABLE.format(error)) from error

    def _frame(self, writer: memory.BodyWriter, stream: _Stream, frame: Any) -> dict[str, Any]:
        if self._described:
            outputs = writer.add_all(frame.outputs, stream.wanted)
            return {"outputs": outputs, "parameters": hooks.as_json(frame.parameters)}
        body: dict[str, Any] = {"outputs": [], "parameters": {}} | _answer(writer, stream.entry, frame)
        if "json" in body:
            body["json"] = self._api.format_encoded_response(body["json"])
        return body


def _batch(message: memory.Message, entry: dict[str, Any]) -> Batch:
    return Batch(inputs=message.arrays(entry["tensors"]), parameters=entry["parameters"], rows=entry["rows"])


def _request(message: memory.Message, entry: dict[str, Any]) -> hooks.PlainRequest:
    parameters = entry["parameters"]
    if "json" in entry:
        return hooks.PlainRequest(payload=entry["json"], parameters=parameters)
    payload: dict[str, Any] = dict(message.arrays(entry["tensors"]))
    if parameters:
        payload["parameters"] = parameters
    return hooks.PlainRequest(payload=payload, parameters=parameters)


def _answer(writer: memory.BodyWriter, entry: dict[str, Any], result: Any) -> dict[str, Any]:
    if "json" in entry:
        return {"json": hooks.as_json(result)}
    return {"outputs": writer.add_all(hooks.as_outputs(result))}


def _error(error: Exception) -> dict[str, Any]:
    failure: CallError = hooks.as_call_error(error)
    if failure.code == "INTERNAL":
        _LOG.error("event=model_failed", exc_info=error)
    return {"error": [failure.code, str(failure)]}


def _unwritable(error: Exception) -> dict[str, Any]:
    return {"seconds": 0.0} | _error(FailedError(_UNWRITABLE.format(error)))


def _close(frames: Iterator[Any]) -> None:
    close = getattr(frames, "close", None)
    if close is not None:
        try:
            close()
        except Exception:  # noqa: BLE001 - as above
            _LOG.exception("event=stream_close_failed")
