"""The model as callers see it: names and metadata, checks before the queue, answers after it.

Both transports call this and nothing deeper. Every failure is a CallError, counted once here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Final, Protocol

from atheria_server.core.errors import (
    REJECTIONS,
    CallError,
    ExpiredError,
    FailedError,
    InvalidCallError,
    StartError,
    UnknownModelError,
    UnsupportedError,
)
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.core.tensors import TensorError, datatype_of
from atheria_server.engine.calls import Call, described_call, json_call, plain_call
from atheria_server.engine.engine import Engine
from atheria_server.models.contract import InvalidRequestError, ModelMetadata, Scalar, is_described

_LOG = logging.getLogger("atheria.service")
VERSION: Final = "1"
"""Of the model; a server has one."""
FROM_FRAME: Final = "from_frame"
"""Of a stream: index of the first frame that the caller wants. Earlier ones are computed and not sent."""
PROTOCOL_PARAMETERS: Final = frozenset(
    {
        FROM_FRAME,
        "triton_enable_empty_final_response",
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "priority",
        "timeout",
        "binary_data_output",
    }
)
"""Request parameters that belong to the protocol, not to the model. `timeout` is in microseconds."""

_NEARLY_SECONDS: Final = 0.01


class ServiceEvents(Protocol):
    """What the service tells the metrics."""

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """A call was answered; `code` is OK or a CallError's, `method` is infer or stream."""

    def call_rejected(self, reason: str) -> None:
        """The call that just ended was refused before it was computed; `reason` is one of REJECTIONS in small letters."""

    def decoded(self, seconds: float) -> None:
        """A request was read from its bytes."""

    def encoded(self, seconds: float) -> None:
        """An answer or a frame was written to bytes."""

    def frames_dropped(self, count: int) -> None:
        """Frames were left out because the viewer was too slow."""


class ModelService:
    """One model under one name."""

    def __init__(self, *, name: str, api: Any, engine: Engine, events: ServiceEvents) -> None:
        self.name = name
        self.described = is_described(api)
        self.metadata: ModelMetadata = (
            api.metadata() if self.described else ModelMetadata(inputs=(), outputs=())
        )
        self.engine = engine
        self._api = api
        self.events = events

    def check_name(self, name: str, version: str = "") -> None:
        """Raises UnknownModelError unless the name (and version, if given) is the served one."""
        if name != self.name:
            raise UnknownModelError(f"no model {name!r} here; this server serves {self.name!r}")
        if version not in ("", VERSION):
            raise UnknownModelError(f"model {name!r} has no version {version!r}; it has {VERSION!r}")

    def refused(self, method: str, error: CallError) -> None:
        """Count a call that could not even be read."""
        self._failed(method, error, 0.0)

    async def infer(self, request: InferRequest) -> InferAnswer:
        """One answer for one request. Raises CallError."""
        with self._counted("infer", request.timeout_seconds):
            if FROM_FRAME in request.parameters:
                raise InvalidCallError(
                    f"parameter {FROM_FRAME} is for streams; leave it out of a single answer"
                )
            call = self._check(request, streaming=False)
            answer: InferAnswer = await self._computed(call, _timeout(request))
            return _select(answer, request.outputs)

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferAnswer]:
        """The frames of one request. Raises CallError."""
        with self._counted("stream", request.timeout_seconds):
            call = self._check(request, streaming=True)
            first = _first_frame(request.parameters)
            timeout = _timeout(request)
            ends_at = None if timeout is None else asyncio.get_running_loop().time() + timeout
            async with aclosing(self.engine.stream(call, timeout)) as frames:
                index = 0
                while (frame := await _next(frames, ends_at)) is not None:
                    if index >= first:
                        yield replace(_select(frame, request.outputs), index=index)
                    index += 1

    @property
    def streams(self) -> bool:
        """Whether a request may have several answers."""
        return self.described or bool(self._api.stream)

    @property
    def streams_json(self) -> bool:
        """Whether LitServe's own route streams."""
        return bool(self._api.stream) and not self.described

    async def infer_json(self, body: Any) -> Any:
        """LitServe's own route: a JSON body for a plain LitAPI. Raises CallError."""
        with self._counted("infer"):
            return await self._computed(self._check_json(body, streaming=False), None)

    async def stream_json(self, body: Any) -> AsyncGenerator[Any]:
        """As `infer_json`, for a LitAPI that streams: what encode_response yields. Raises CallError."""
        with self._counted("stream"):
            async with aclosing(self.engine.stream(self._check_json(body, streaming=True), None)) as frames:
                async for frame in frames:
                    yield frame.json

    def _check_json(self, body: Any, *, streaming: bool) -> Call:
        if self.described:
            raise UnsupportedError(f"model {self.name!r} takes tensors; POST to /v2/models/{self.name}/infer")
        try:
            json.dumps(body)
        except (TypeError, ValueError) as error:
            raise UnsupportedError(f"only JSON bodies are taken here: {error}") from error
        return json_call(body, streaming=streaming)

    async def warm_up(
        self,
        shapes: Sequence[tuple[int, ...]],
        max_batch_size: int,
        compute: Callable[[Call], Awaitable[Any]],
        clock: Callable[[], float],
    ) -> None:
        """Make the model's warm-up calls, alone and as a full batch. Raises StartError."""
        if not self.described:
            _LOG.info("event=warmup_skipped reason=the_model_declares_no_tensors")
            return
        for rows in sorted({1, max_batch_size}):
            try:
                calls = self._api.warmup_calls(shapes, rows)
                for index, warm in enumerate(calls):
                    began = clock()
                    valid = self._api.validate(warm.inputs, warm.parameters, streaming=False)
                    await compute(described_call(valid, (), streaming=False))
                    shape = list(shapes[index]) if index < len(shapes) else "default"
                    _LOG.info(
                        "event=warmup_shape shape=%s rows=%d seconds=%.3f", shape, rows, clock() - began
                    )
            except (InvalidRequestError, FailedError, InvalidCallError) as error:
                raise StartError(f"warm-up with {rows} rows failed: {error}") from error

    async def _computed(self, call: Call, timeout: float | None) -> Any:
        with _deadline_text():
            async with asyncio.timeout(timeout):
                return await self.engine.compute(call, timeout)

    def _check(self, request: InferRequest, *, streaming: bool) -> Call:
        self.check_name(request.model_name, request.model_version)
        parameters = {n: v for n, v in request.parameters.items() if n not in PROTOCOL_PARAMETERS}
        if not self.described:
            if not streaming and self._api.stream:
                raise UnsupportedError(f"model {self.name!r} only streams; call ModelStreamInfer")
            return plain_call(request.inputs, parameters, request.outputs, streaming=streaming)
        known = [spec.name for spec in self.metadata.outputs]
        for name in request.outputs:
            if name not in known:
                raise InvalidCallError(f"unknown output {name!r}; allowed: {', '.join(known)}")
        self._check_inputs(request)
        try:
            valid = self._api.validate(request.inputs, parameters, streaming=streaming)
        except (InvalidRequestError, TensorError) as error:
            raise InvalidCallError(str(error)) from error
        return described_call(valid, request.outputs, streaming=streaming)

    def _check_inputs(self, request: InferRequest) -> None:
        """Names and datatypes against the metadata; shapes are the model's own business."""
        specs = {spec.name: spec for spec in self.metadata.inputs}
        for name, array in request.inputs.items():
            if name not in specs:
                raise InvalidCallError(f"unknown input {name!r}; allowed: {', '.join(specs)}")
            if (found := datatype_of(array)) != (expected := specs[name].datatype):
                raise InvalidCallError(f"input {name!r} has datatype {found}; expected {expected}")

    @contextmanager
    def _counted(self, method: str, timeout_seconds: float | None = None) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        code = "OK"
        try:
            yield
        except CallError as error:
            code = ""
            self._failed(method, error, loop.time() - began)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # At its deadline a call is also cancelled by gRPC; whichever comes first, it expired.
            late = timeout_seconds is not None and loop.time() - began >= timeout_seconds - _NEARLY_SECONDS
            code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            raise
        except Exception as error:
            code = "INTERNAL"
            _LOG.exception("event=call_failed model=%s", self.name)
            raise FailedError(f"the server failed with {type(error).__name__}; see its log") from error
        finally:
            if code:
                self.events.call_ended(method, code, loop.time() - began)

    def _failed(self, method: str, error: CallError, seconds: float) -> None:
        self.events.call_ended(method, error.code, seconds)
        if error.reason in REJECTIONS:
            self.events.call_rejected(error.reason.lower())


def _select(answer: InferAnswer, wanted: Sequence[str]) -> InferAnswer:
    """Only the wanted outputs, in the caller's order. Raises InvalidCallError for one that the model did not give."""
    if not wanted:
        return answer
    for name in wanted:
        if name not in answer.outputs:
            raise InvalidCallError(f"unknown output {name!r}; this model gave: {', '.join(answer.outputs)}")
    return InferAnswer(outputs={name: answer.outputs[name] for name in wanted}, parameters=answer.parameters)


async def _next(frames: AsyncGenerator[InferAnswer], ends_at: float | None) -> InferAnswer | None:
    with _deadline_text():
        async with asyncio.timeout_at(ends_at):
            return await anext(frames, None)


def _timeout(request: InferRequest) -> float | None:
    """Seconds that the caller still waits: the call's own deadline or the protocol's `timeout`, whichever is less."""
    asked = _microseconds(request.parameters)
    known = [seconds for seconds in (request.timeout_seconds, asked) if seconds is not None]
    return min(known, default=None)


def _first_frame(parameters: Mapping[str, Scalar]) -> int:
    value = parameters.get(FROM_FRAME, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidCallError(
            f"parameter {FROM_FRAME} is {value!r}; expected the index of a frame, a whole number from 0"
        )
    return value


def _microseconds(parameters: Mapping[str, Scalar]) -> float | None:
    value = parameters.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidCallError(
            f"parameter timeout is {value!r}; expected microseconds, a whole number from 0"
        )
    return value / 1e6 if value else None


@contextmanager
def _deadline_text() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ExpiredError("the deadline passed before the answer") from error
