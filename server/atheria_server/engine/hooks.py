"""How a batch is computed in the worker: a described model directly, a plain LitAPI through LitServe's hooks.

The order of the hooks and of the callbacks' events is LitServe's: decode_request per call, batch, predict, unbatch,
encode_response per call. The calls of a LitAPI with `enable_async` run side by side, as LitServe runs them.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import litserve
import numpy as np
from litserve.callbacks.base import CallbackRunner, EventTypes
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from atheria_server.core.content_cache import ContentCache
from atheria_server.core.errors import CallError, FailedError, InvalidCallError
from atheria_server.core.tensors import TensorError, to_array, to_bytes
from atheria_server.engine import bodies, memory, plain_tensors
from atheria_server.engine.async_frames import AsyncFrames, AsyncLoop
from atheria_server.engine.request_type import RequestType
from atheria_server.models.contract import Array, Arrays, Batch, InvalidRequestError
from atheria_server.models.served import API_PATH, Served

Context = dict[str, Any]
CACHE_ATTRIBUTE: Final = "decode_cache_entries"
"""Of a LitAPI: so many decoded requests are kept, by their content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRequest:
    """One call for a plain LitAPI: tensors and parameters of the protocol, or a body of LitServe's own route."""

    parameters: Mapping[str, Any]
    """`api_path` among them chooses the LitAPI."""
    tensors: Arrays | None = None
    body: Any = None
    """Of LitServe's own route, if there are no tensors, or the CallError that reading it ended with."""


def as_call_error(error: Exception) -> CallError:
    """What the caller may know about an exception of model code."""
    if isinstance(error, CallError):
        return error
    status = getattr(error, "status_code", None)
    if isinstance(error, InvalidRequestError | TensorError) or (
        isinstance(status, int) and 400 <= status < 500
    ):
        return InvalidCallError(str(getattr(error, "detail", error)))
    return FailedError(f"the model raised {type(error).__name__}: {error}")


def compute_described(api: Any, batch: Batch) -> dict[str, Array]:
    """Outputs of a described model, checked to have one entry per row. Raises FailedError."""
    outputs = {name: np.asarray(value) for name, value in api.predict(batch).items()}
    for name, value in outputs.items():
        if value.ndim == 0 or len(value) != batch.rows:
            raise FailedError(
                f"the model's output {name!r} has shape {list(value.shape)}; expected first dimension {batch.rows}"
            )
    return outputs


class PlainModel:
    """The LitAPIs of a server that are not described, after their `setup`."""

    def __init__(self, served: Served, callbacks: CallbackRunner | None = None) -> None:
        self._hooks = {api.api_path: _Hooks(api, callbacks) for api in served.apis}
        self._main = served.main.api_path
        self.async_loop = AsyncLoop() if any(api.enable_async for api in served.apis) else None
        """Where the calls of async LitAPIs run; None = there are none."""

    def cache_counts(self) -> tuple[int, int]:
        """Requests that were decoded before, and those that were not, of LitAPIs with a cache."""
        caches = [hooks.cache for hooks in self._hooks.values() if hooks.cache is not None]
        return sum(cache.hits for cache in caches), sum(cache.misses for cache in caches)

    def of(self, parameters: Mapping[str, Any]) -> _Hooks:
        """The hooks that a call with these parameters is for."""
        return self._hooks[parameters.get(API_PATH, self._main)]


def plain_request(model: PlainModel, message: memory.Message, entry: Mapping[str, Any]) -> PlainRequest:
    """The call that an entry of a message describes.

    The message's memory is written again after the answer, and nobody told the author of a plain LitAPI: it gets copies,
    unless it says that it knows.
    """
    if "body" in entry:
        path = {API_PATH: entry["api_path"]}
        return PlainRequest(parameters=path, body=model.of(path).read(message.parts(entry["body"])))
    parameters = entry["parameters"]
    lends = model.of(parameters).takes_views
    tensors = message.arrays(entry["tensors"]) if lends else message.copies(entry["tensors"])
    return PlainRequest(parameters=parameters, tensors=tensors)


def compute_plain(model: PlainModel, requests: Sequence[PlainRequest]) -> list[Any]:
    """What encode_response returned or the exception that it ended with, one per call; all for one LitAPI."""
    return model.of(requests[0].parameters).compute(requests)


def stream_plain(model: PlainModel, request: PlainRequest) -> Iterator[Any]:
    """What a LitAPI(stream=True) yields for one call; another LitAPI gives its one answer."""
    hooks = model.of(request.parameters)
    if hooks.is_async and model.async_loop is not None:
        return AsyncFrames(model.async_loop, _refusals_too_async(hooks.stream_async(request), request))
    return _refusals_too(hooks.stream(request), request)


def pack_frame(model: PlainModel, entry: Mapping[str, Any], frame: Any) -> bodies.Parts:
    """A frame for LitServe's own route. Raises FailedError."""
    if as_raised := bodies.pack_error(frame):
        return as_raised
    hooks = model.of({API_PATH: entry["api_path"]})
    return bodies.pack_frame(hooks.format_frame, frame) if hooks.streams else bodies.pack_answer(frame)


def _cache_of(api: Any, decode: _Hook, *, takes_views: bool) -> ContentCache | None:
    """For a LitAPI with `decode_cache_entries`. Raises ValueError where what was decoded could not be used again."""
    entries = getattr(api, CACHE_ATTRIBUTE, 0)
    if not entries:
        return None
    name = type(api).__name__
    if isinstance(entries, bool) or not isinstance(entries, int) or entries < 0:
        raise ValueError(
            f"{name}.{CACHE_ATTRIBUTE} is {entries!r}; expected a number of requests, 0 for none"
        )
    if decode.takes_context or takes_views or api.enable_async:
        raise ValueError(
            f"{name} has {CACHE_ATTRIBUTE}, so decode_request must depend on the request alone: it may not take "
            "`context`, be async, or work on oip_views"
        )
    return ContentCache(entries)


def _digest(arrays: Arrays, parameters: Mapping[str, Any]) -> bytes:
    """Of names, datatypes, shapes, contents and parameters."""
    digest = hashlib.blake2b(json.dumps(sorted(parameters.items())).encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{len(name)} {name} {array.dtype.str} {array.shape}".encode())
        digest.update(to_bytes(to_array(array)))
    return digest.digest()


class _Hook:
    """One hook of a LitAPI, its signature read once: LitServe injects `context` into the hooks that name it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.takes_context = "context" in inspect.signature(function).parameters
        asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        default = getattr(litserve.LitAPI, getattr(function, "__name__", ""), None)
        self.blocks = not asynchronous and getattr(function, "__func__", None) is not default
        """Of an async LitAPI: an own hook that is not async, and holds the other calls up."""

    def __call__(self, argument: Any, context: Any) -> Any:
        if self.takes_context:
            return self._function(argument, context=context)
        return self._function(argument)


class _Hooks:
    """One LitAPI's hooks, and how they are called."""

    def __init__(self, api: Any, callbacks: CallbackRunner | None) -> None:
        self._api = api
        self._callbacks = callbacks
        self._request_type = RequestType(api)
        if api.spec is not None and api.enable_async:
            api.spec = api.spec.as_async()
        self._spec = api.spec
        self._decode = _Hook(api.decode_request)
        self._batch = _Hook(api.batch)
        self._predict = _Hook(api.predict)
        self._unbatch = _Hook(api.unbatch)
        self._encode = _Hook(api.encode_response)
        self._as_tensors = (
            plain_tensors.as_torch
            if getattr(api, "oip_tensors", "numpy") == "torch"
            else plain_tensors.as_numpy
        )
        self.takes_views = bool(getattr(api, "oip_views", False)) and not (api.stream or api.enable_async)
        self.is_async = bool(api.enable_async)
        self.cache = _cache_of(api, self._decode, takes_views=self.takes_views)
        self.streams = bool(api.stream)
        self.format_frame: Callable[[Any], Any] = api.format_encoded_response

    def read(self, parts: bodies.Parts) -> Any:
        """The body of a call, or the CallError that makes this call fail and no other of its batch."""
        try:
            return bodies.unpack_request(self._request_type, parts)
        except CallError as error:
            return error

    def compute(self, requests: Sequence[PlainRequest]) -> list[Any]:
        """See `compute_plain`."""
        size = self._api.max_batch_size
        if size == 1:
            return [_caught(self._one, request) for request in requests]
        results: list[Any] = []
        for at in range(0, len(requests), size):
            results += self._some(requests[at : at + size])
        return results

    def stream(self, request: PlainRequest) -> Iterator[Any]:
        """See `stream_plain`."""
        api = self._api
        if not api.stream:
            (result,) = self.compute([request])
            if isinstance(result, Exception):
                raise result
            yield result
            return
        context = self._context(request)
        many = api.max_batch_size > 1
        contexts = [context] if many else context
        self._tell(EventTypes.BEFORE_DECODE_REQUEST)
        decoded = self._decoded(request, context)
        self._tell(EventTypes.AFTER_DECODE_REQUEST)
        if many:
            decoded = self._batch([decoded], contexts)
        self._tell(EventTypes.BEFORE_PREDICT)
        output = self._predict(decoded, contexts)
        self._tell(EventTypes.AFTER_PREDICT)
        if many:
            output = self._unbatch(output, contexts)
        self._tell(EventTypes.BEFORE_ENCODE_RESPONSE)
        for value in self._encode(output, contexts):
            yield value[0] if many else value
        # LitServe says the first of these a second time, when the generator has ended.
        self._tell(EventTypes.AFTER_PREDICT)
        self._tell(EventTypes.AFTER_ENCODE_RESPONSE)

    def _some(self, requests: Sequence[PlainRequest]) -> list[Any]:
        """A batch. One bad call must not fail its neighbours: if the batch fails, each call is computed alone."""
        try:
            return self._together(requests, [self._context(request) for request in requests])
        except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
            if len(requests) == 1:
                return [error]
        return [result for request in requests for result in self._some([request])]

    def _together(self, requests: Sequence[PlainRequest], contexts: list[Context]) -> list[Any]:
        self._tell(EventTypes.BEFORE_DECODE_REQUEST)
        decoded = [
            self._decoded(request, context) for request, context in zip(requests, contexts, strict=True)
        ]
        self._tell(EventTypes.AFTER_DECODE_REQUEST)
        batch = self._batch(decoded, contexts)
        self._tell(EventTypes.BEFORE_PREDICT)
        output = self._predict(batch, contexts)
        self._tell(EventTypes.AFTER_PREDICT)
        results = list(self._unbatch(output, contexts))
        if len(results) != len(requests):
            raise FailedError(
                f"the model gave {len(results)} results for {len(requests)} calls; unbatch must give one each"
            )
        self._tell(EventTypes.BEFORE_ENCODE_RESPONSE)
        encoded = [self._encode(result, context) for result, context in zip(results, contexts, strict=True)]
        self._tell(EventTypes.AFTER_ENCODE_RESPONSE)
        return encoded

    def _one(self, request: PlainRequest) -> Any:
        context = self._context(request)
        self._tell(EventTypes.BEFORE_DECODE_REQUEST)
        decoded = self._decoded(request, context)
        self._tell(EventTypes.AFTER_DECODE_REQUEST)
        self._tell(EventTypes.BEFORE_PREDICT)
        output = self._predict(decoded, context)
        self._tell(EventTypes.AFTER_PREDICT)
        self._tell(EventTypes.BEFORE_ENCODE_RESPONSE)
        encoded = self._encode(output, context)
        self._tell(EventTypes.AFTER_ENCODE_RESPONSE)
        return encoded

    async def stream_async(self, request: PlainRequest) -> AsyncGenerator[Any]:
        """As `stream`, for an async LitAPI."""
        context = self._context(request)
        self._tell(EventTypes.BEFORE_DECODE_REQUEST)
        decoded = await _awaited(self._decode, self._payload(request), context)
        self._tell(EventTypes.AFTER_DECODE_REQUEST)
        self._tell(EventTypes.BEFORE_PREDICT)
        output = await _awaited(self._predict, decoded, context)
        self._tell(EventTypes.AFTER_PREDICT)
        self._tell(EventTypes.BEFORE_ENCODE_RESPONSE)
        encoded = await _awaited(self._encode, output, context)
        if not self.streams:
            yield encoded
        elif isinstance(encoded, AsyncIterator):
            async for value in encoded:
                yield value
        else:
            for value in encoded:
                yield value
        self._tell(EventTypes.AFTER_ENCODE_RESPONSE)

    def _context(self, request: PlainRequest) -> Context:
        """The call's parameters, and what a spec of LitServe makes of a body. Raises the CallError of a bad body."""
        if isinstance(request.body, CallError):
            raise request.body
        context = {name: value for name, value in request.parameters.items() if name != API_PATH}
        if request.tensors is None and hasattr(self._spec, "populate_context"):
            self._spec.populate_context(context, request.body)
        return context

    def _decoded(self, request: PlainRequest, context: Context) -> Any:
        if self.cache is None or request.tensors is None:
            return self._decode(self._payload(request), context)
        return self.cache.get_or_make(
            _digest(request.tensors, request.parameters),
            lambda: self._decode(self._payload(request), context),
        )

    def _payload(self, request: PlainRequest) -> Any:
        if request.tensors is None:
            return request.body
        parameters = {name: value for name, value in request.parameters.items() if name != API_PATH}
        if (kind := self._request_type.model) is not None:
            return _validated(kind, plain_tensors.as_values(request.tensors) | parameters)
        payload: dict[str, Any] = self._as_tensors(request.tensors)
        if parameters:
            payload["parameters"] = parameters
        return payload

    def _tell(self, event: EventTypes) -> None:
        if self._callbacks is not None:
            self._callbacks.trigger_event(event.value, lit_api=self._api)


def _validated(kind: Any, values: Mapping[str, Any]) -> Any:
    """Tensors as the type's fields: lists, or single values where the type wants those. Raises InvalidCallError."""
    single = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in values.items()
    }
    try:
        return kind.model_validate(single)
    except ValidationError as error:
        first = error
    try:
        return kind.model_validate(values)
    except ValidationError:
        raise InvalidCallError(f"the tensors do not make a {kind.__name__}: {first}") from first


def _caught(function: Callable[[PlainRequest], Any], request: PlainRequest) -> Any:
    try:
        return function(request)
    except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
        return error


async def _awaited(hook: _Hook, argument: Any, context: Context) -> Any:
    result = await asyncio.to_thread(hook, argument, context) if hook.blocks else hook(argument, context)
    return await result if inspect.isawaitable(result) else result


def _refusals_too(frames: Iterator[Any], request: PlainRequest) -> Iterator[Any]:
    """For LitServe's own route, an HTTPException is a frame: `pack_frame` hands it on as it was raised."""
    try:
        yield from frames
    except HTTPException as error:
        if request.tensors is not None:
            raise
        yield error


async def _refusals_too_async(frames: AsyncGenerator[Any], request: PlainRequest) -> AsyncGenerator[Any]:
    try:
        async for frame in frames:
            yield frame
    except HTTPException as error:
        if request.tensors is not None:
            raise
        yield error
