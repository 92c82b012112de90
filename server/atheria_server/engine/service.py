"""The model as callers see it: names and metadata, checks before the queue, answers after it.

Both transports call this and nothing deeper. Every failure is a CallError, counted once here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

from atheria_server.core.caller_limits import CallerLimits
from atheria_server.core.errors import (
    FAULTS,
    REJECTIONS,
    CallError,
    ExpiredError,
    FailedError,
    InvalidCallError,
    UnknownModelError,
    UnsupportedError,
)
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.core.padding import PaddingError
from atheria_server.core.protocol_parameters import (
    FROM_FRAME,
    first_frame,
    of_model,
    patience_seconds,
    priority,
)
from atheria_server.core.tensors import TensorError, datatype_of
from atheria_server.engine import bodies
from atheria_server.engine.caller import CALLER
from atheria_server.engine.calls import Call, body_call, described_call, plain_call
from atheria_server.engine.engine import Engine
from atheria_server.engine.request_type import RequestType
from atheria_server.engine.slow_checks import SlowChecks
from atheria_server.models.contract import (
    InvalidRequestError,
    ModelMetadata,
    Scalar,
    SlowlyChecked,
    is_continuous,
    is_described,
)
from atheria_server.models.served import API_PATH
from atheria_server.slow_calls import SlowCalls
from atheria_server.tracing import Tracing

_LOG = logging.getLogger("atheria.service")
VERSION: Final = "1"
"""Of the model; a server has one."""

_NEARLY_SECONDS: Final = 0.01
_NO_SPANS: Final = nullcontext()


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


class CallListener(Protocol):
    """Who wants to know of each call of the protocol: the callbacks of a user's LitServer."""

    def call_began(self) -> None:
        """A call entered."""

    def call_answered(self) -> None:
        """It was answered, or its stream has ended."""


class ModelService:
    """One model under one name.

    `apis` are all LitAPIs of a source that names several, `api` first. A call of the protocol reaches another one by
    the parameter `api_path`.
    """

    def __init__(
        self,
        *,
        name: str,
        api: Any,
        apis: Sequence[Any] = (),
        engine: Engine,
        events: ServiceEvents,
        limits: CallerLimits | None = None,
        tracing: Tracing | None = None,
        slow_calls: SlowCalls | None = None,
    ) -> None:
        self.name = name
        self.described = is_described(api)
        self.continuous = is_continuous(api)
        """All running calls share steps; the engine has them as streams, those with one answer, too."""
        self.metadata: ModelMetadata = (
            api.metadata() if self.described else ModelMetadata(inputs=(), outputs=())
        )
        self.engine = engine
        self.api = api
        self._slowly_checked = api if self.described and isinstance(api, SlowlyChecked) else None
        self._slow_checks = SlowChecks()
        self._apis = {one.api_path: one for one in (apis or (api,))}
        self._request_types = (
            {} if self.described else {path: RequestType(one) for path, one in self._apis.items()}
        )
        self.listener: CallListener | None = None
        self._healthy = True
        self._has_started = asyncio.Event()
        self.events = events
        self.limits = limits or CallerLimits(0)
        self._tracing = tracing
        self.slow_calls = slow_calls or SlowCalls()

    @property
    def ready(self) -> bool:
        """The engine is ready, and the LitAPI's own `health` says nothing else."""
        return self._healthy and self.engine.ready

    async def started(self, timeout_seconds: float) -> None:
        """Return when the server has been ready once, or after so long."""
        if not self._has_started.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_started.wait(), timeout_seconds)

    def set_started(self) -> None:
        """It is ready for the first time."""
        self._has_started.set()

    @property
    def unready_reason(self) -> str:
        """Why `ready` is false; empty while it is true."""
        return self.engine.unready_reason or ("" if self._healthy else "the LitAPI's health() says no")

    def set_healthy(self, healthy: bool) -> None:
        """What the LitAPI's own `health` says now. Calls are accepted either way."""
        self._healthy = healthy
        _LOG.log(
            logging.INFO if healthy else logging.WARNING, "event=health model=%s well=%s", self.name, healthy
        )
        self.engine.ready_changed.set()

    def check_name(self, name: str, version: str = "") -> None:
        """Raises UnknownModelError unless the name (and version, if given) is the served one."""
        if name != self.name:
            raise UnknownModelError(f"no model {name!r} here; this server serves {self.name!r}")
        if version not in ("", VERSION):
            raise UnknownModelError(f"model {name!r} has no version {version!r}; it has {VERSION!r}")

    def refused(self, method: str, error: CallError) -> None:
        """Count a call that could not even be read."""
        self.failed(method, error, 0.0)

    async def infer(self, request: InferRequest) -> InferAnswer:
        """One answer for one request. Raises CallError."""
        with self._counted("infer", request.timeout_seconds, request.request_id) as counted:
            if FROM_FRAME in request.parameters:
                raise InvalidCallError(
                    f"parameter {FROM_FRAME} is for streams; leave it out of a single answer"
                )
            if self.listener:
                self.listener.call_began()
            ends_at = _ends_at(request)
            call = counted.call = await self._checked(request, ends_at, streaming=False)
            with self._computing(call, request.request_id):
                answer: InferAnswer = await self._computed(call, _left(ends_at))
            if self.listener:
                self.listener.call_answered()
            return _select(answer, request.outputs)

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferAnswer]:
        """The frames of one request. Raises CallError."""
        with self._counted("stream", request.timeout_seconds, request.request_id):
            if self.listener:
                self.listener.call_began()
            ends_at = _ends_at(request)
            call = await self._checked(request, ends_at, streaming=True)
            first = first_frame(request.parameters)
            with self._computing(call, request.request_id):
                async with aclosing(self.engine.stream(call, _left(ends_at))) as frames:
                    index = 0
                    while (frame := await _next(frames, ends_at)) is not None:
                        if index >= first:
                            yield replace(_select(frame, request.outputs), index=index)
                        index += 1
            if self.listener:
                self.listener.call_answered()

    @property
    def streams(self) -> bool:
        """Whether a request may have several answers."""
        return self.described or any(api.stream for api in self._apis.values())

    async def infer_body(self, payload: Any, api_path: str, sent: bytes | None = None) -> Any:
        """LitServe's own route of a plain LitAPI: what `engine.bodies` made of the answer. Raises CallError.

        `payload` is what FastAPI made of the body, `sent` the JSON text that it made it of, where there is one.
        """
        with self._counted("infer") as counted:
            call = counted.call = await self._check_body(payload, api_path, sent, streaming=False)
            with self._computing(call):
                answer = await self._answered(call, self._patience(api_path))
                return bodies.unpack_answer(answer.body if call.streaming else answer)

    async def stream_body(
        self, payload: Any, api_path: str, sent: bytes | None = None
    ) -> AsyncGenerator[Any]:
        """As `infer_body`, for a LitAPI that streams: what encode_response yields. Raises CallError."""
        with self._counted("stream"):
            call = await self._check_body(payload, api_path, sent, streaming=True)
            with self._computing(call):
                async with aclosing(self.engine.stream(call, self._patience(api_path))) as frames:
                    async for frame in frames:
                        yield bodies.unpack_answer(frame.body)

    def _patience(self, api_path: str) -> float | None:
        """Seconds that a call of LitServe's own route may wait in the queue: LitServer(timeout=...)."""
        seconds = self._apis[api_path].request_timeout
        return float(seconds) if seconds and seconds > 0 else None

    async def _check_body(self, payload: Any, api_path: str, sent: bytes | None, *, streaming: bool) -> Call:
        if self.described:
            raise UnsupportedError(f"model {self.name!r} takes tensors; POST to /v2/models/{self.name}/infer")
        streaming = streaming or self._apis[api_path].enable_async
        body = await bodies.pack_request(self._request_types[api_path], payload, sent)
        return body_call(api_path, body, streaming=streaming)

    def _chosen(self, parameters: Mapping[str, Scalar]) -> Any:
        path = parameters.get(API_PATH, self.api.api_path)
        if path not in self._apis:
            raise InvalidCallError(
                f"parameter {API_PATH} is {path!r}; allowed: {', '.join(sorted(self._apis))}"
            )
        return self._apis[str(path)]

    def _computing(self, call: Call, request_id: str = "") -> AbstractContextManager[None]:
        """Around the call's time in the engine."""
        return _NO_SPANS if self._tracing is None else self._tracing.computing(call, request_id)

    async def _computed(self, call: Call, timeout: float | None) -> Any:
        if timeout is None:
            return await self._answered(call, None)
        with _deadline_text():
            async with asyncio.timeout(timeout):
                return await self._answered(call, timeout)

    async def _answered(self, call: Call, timeout: float | None) -> Any:
        """The one answer. A call of an async LitAPI is a stream of one frame, as those run side by side."""
        if not call.streaming:
            return await self.engine.compute(call, timeout)
        async with aclosing(self.engine.stream(call, timeout)) as frames:
            answers = [frame async for frame in frames]
        if not answers:
            raise FailedError("the model gave no answer")
        return answers[-1]

    async def _checked(self, request: InferRequest, ends_at: float | None, *, streaming: bool) -> Call:
        """As `_check`; one that takes long in a thread, until `ends_at`."""
        slow = self._slowly_checked
        if slow is None or not slow.checks_slowly(request.inputs, request.parameters):
            return self._check(request, streaming=streaming)
        with _deadline_text(), self.engine.checking():
            async with asyncio.timeout_at(ends_at):
                check = partial(self._check, request, streaming=streaming)
                call = await self._slow_checks.run(check, request.size_bytes)
                call.is_accepted = True
                return call

    def _check(self, request: InferRequest, *, streaming: bool) -> Call:
        self.check_name(request.model_name, request.model_version)
        parameters = of_model(request.parameters)
        asked_priority = priority(request.parameters)
        if not self.described:
            api = self._chosen(parameters)
            if api.stream and not streaming:
                raise UnsupportedError(f"model {self.name!r} only streams; call ModelStreamInfer")
            return plain_call(
                request.inputs,
                parameters,
                request.outputs,
                streaming=streaming or api.enable_async,
                priority=asked_priority,
            )
        known = [spec.name for spec in self.metadata.outputs]
        for name in request.outputs:
            if name not in known:
                raise InvalidCallError(f"unknown output {name!r}; allowed: {', '.join(known)}")
        self._check_inputs(request)
        try:
            valid = self.api.validate(request.inputs, parameters, streaming=streaming)
            streaming = streaming or self.continuous
            return described_call(valid, request.outputs, streaming=streaming, priority=asked_priority)
        except (InvalidRequestError, TensorError, PaddingError) as error:
            raise InvalidCallError(str(error)) from error

    def _check_inputs(self, request: InferRequest) -> None:
        """Names and datatypes against the metadata; shapes are the model's own business."""
        specs = {spec.name: spec for spec in self.metadata.inputs}
        for name, array in request.inputs.items():
            if name not in specs:
                why = self.metadata.absent.get(name, f"unknown input {name!r}")
                raise InvalidCallError(f"{why}; allowed: {', '.join(specs)}")
            if (found := datatype_of(array)) != (expected := specs[name].datatype):
                raise InvalidCallError(f"input {name!r} has datatype {found}; expected {expected}")

    def _counted(
        self, method: str, timeout_seconds: float | None = None, request_id: str = ""
    ) -> _CountedCall:
        return _CountedCall(self, method, timeout_seconds, request_id)

    def failed(self, method: str, error: CallError, seconds: float, request_id: str = "") -> None:
        self.events.call_ended(method, error.code, seconds)
        if error.reason in REJECTIONS:
            self.events.call_rejected(error.reason.lower())
        # The caller learns every failure; those of the server's own making are the log's business, too.
        _LOG.log(
            logging.WARNING if error.reason in FAULTS else logging.DEBUG,
            "event=call_failed model=%s method=%s code=%s reason=%s request_id=%r error=%r",
            self.name,
            method,
            error.code,
            error.reason,
            request_id,
            str(error),
        )


class _CountedCall:
    """`with`: one call, counted however it ends; any failure leaves as a CallError.

    A class, because a generator costs several times as much, and this stands in the way of every call.
    """

    __slots__ = ("_began", "_method", "_place", "_request_id", "_service", "_timeout_seconds", "call")

    def __init__(
        self, service: ModelService, method: str, timeout_seconds: float | None, request_id: str
    ) -> None:
        self._service = service
        self._method = method
        self._timeout_seconds = timeout_seconds
        self._request_id = request_id
        self.call: Call | None = None
        """None while it is not checked, and for streams, which may take as long as they like."""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._place = self._service.limits.place(CALLER.get())
        try:
            self._place.__enter__()
        except CallError as error:
            self._service.failed(self._method, error, 0.0, self._request_id)
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.__exit__(None, None, None)
        seconds = time.monotonic() - self._began
        events = self._service.events
        if self.call is not None and seconds >= self._service.slow_calls.seconds:
            self._slow(self.call, error, seconds)
        if error is None:
            events.call_ended(self._method, "OK", seconds)
        elif isinstance(error, CallError):
            self._service.failed(self._method, error, seconds, self._request_id)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            # At its deadline a call is also cancelled by gRPC; whichever comes first, it expired.
            patience = self._timeout_seconds
            late = patience is not None and seconds >= patience - _NEARLY_SECONDS
            events.call_ended(self._method, "DEADLINE_EXCEEDED" if late else "CANCELLED", seconds)
        elif isinstance(error, Exception):
            _LOG.error(
                "event=call_failed model=%s method=%s code=INTERNAL request_id=%r",
                self._service.name,
                self._method,
                self._request_id,
                exc_info=(type(error), error, trace),
            )
            events.call_ended(self._method, "INTERNAL", seconds)
            raise FailedError(f"the server failed with {type(error).__name__}; see its log") from error

    def _slow(self, call: Call, error: BaseException | None, seconds: float) -> None:
        code = error.code if isinstance(error, CallError) else type(error).__name__ if error else "OK"
        self._service.slow_calls.ended(
            call,
            model=self._service.name,
            code=code,
            seconds=seconds,
            request_id=self._request_id,
            now_s=self._began + seconds,
        )


def _select(answer: InferAnswer, wanted: Sequence[str]) -> InferAnswer:
    """Only the wanted outputs, in the caller's order. Raises InvalidCallError for one that the model did not give."""
    if not wanted:
        return answer
    for name in wanted:
        if name not in answer.outputs:
            raise InvalidCallError(
                f"output {name!r} was not computed for this call; the model gave: {', '.join(answer.outputs)}; "
                "an optional output may want a parameter of the model"
            )
    return InferAnswer(outputs={name: answer.outputs[name] for name in wanted}, parameters=answer.parameters)


async def _next(frames: AsyncGenerator[InferAnswer], ends_at: float | None) -> InferAnswer | None:
    with _deadline_text():
        async with asyncio.timeout_at(ends_at):
            return await anext(frames, None)


def _ends_at(request: InferRequest) -> float | None:
    """Time of the event loop from which the caller waits no more; None = there is none."""
    timeout = patience_seconds(request)
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


def _left(ends_at: float | None) -> float | None:
    """Seconds until then."""
    return None if ends_at is None else max(0.0, ends_at - asyncio.get_running_loop().time())


@contextmanager
def _deadline_text() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ExpiredError("the deadline passed before the answer") from error
