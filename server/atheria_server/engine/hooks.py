"""How a batch is computed in the worker: a described model directly, a plain LitAPI through LitServe's hooks.

The order of the hooks is LitServe's: decode_request per call, batch, predict, unbatch, encode_response per call.
A LitAPI with `enable_async` has coroutines for hooks; they are run to their end one after the other.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atheria_server.core.errors import CallError, FailedError, InvalidCallError
from atheria_server.models.contract import Array, Batch, InvalidRequestError

DEFAULT_OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRequest:
    """What a plain LitAPI's `decode_request` gets, and the context that LitServe would make for it."""

    payload: Any
    """`{name: array}` with `parameters` beside them if there are any, or the JSON of LitServe's own route."""
    parameters: Mapping[str, Any]


def as_call_error(error: Exception) -> CallError:
    """What the caller may know about an exception of model code."""
    if isinstance(error, CallError):
        return error
    status = getattr(error, "status_code", None)
    if isinstance(error, InvalidRequestError) or (isinstance(status, int) and 400 <= status < 500):
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


def compute_plain(api: Any, requests: Sequence[PlainRequest]) -> list[Any]:
    """What encode_response returned, one per call."""
    contexts: list[dict[str, Any]] = [dict(request.parameters) for request in requests]
    decoded = [
        _call(api.decode_request, _typed(api, request.payload), context=context)
        for request, context in zip(requests, contexts, strict=True)
    ]
    if api.max_batch_size == 1:
        results = [_call(api.predict, x, context=c) for x, c in zip(decoded, contexts, strict=True)]
    else:
        output = _call(api.predict, _call(api.batch, decoded, context=contexts), context=contexts)
        results = list(_call(api.unbatch, output, context=contexts))
        if len(results) != len(requests):
            raise FailedError(
                f"the model gave {len(results)} results for {len(requests)} calls; unbatch must give one each"
            )
    return [
        _call(api.encode_response, result, context=context)
        for result, context in zip(results, contexts, strict=True)
    ]


def stream_plain(api: Any, request: PlainRequest) -> Iterator[Any]:
    """What a LitAPI(stream=True) yields for one call; another LitAPI gives its one answer."""
    if not api.stream:
        yield compute_plain(api, [request])[0]
        return
    context = dict(request.parameters)
    decoded = _call(api.decode_request, _typed(api, request.payload), context=context)
    if api.max_batch_size > 1:
        contexts = [context]
        output = _call(api.predict, _call(api.batch, [decoded], context=contexts), context=contexts)
        unbatched = _call(api.unbatch, output, context=contexts)
        for values in _each(_call(api.encode_response, unbatched, context=contexts)):
            yield values[0]
        return
    output = _call(api.predict, decoded, context=context)
    yield from _each(_call(api.encode_response, output, context=context))


def as_outputs(value: Any) -> dict[str, Array]:
    """What encode_response returned, as tensors by name."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if not isinstance(value, Mapping):
        value = {DEFAULT_OUTPUT: value}
    return {
        str(name): np.asarray(item.detach().cpu() if hasattr(item, "detach") else item)
        for name, item in value.items()
    }


def as_json(value: Any) -> Any:
    """What encode_response returned, for LitServe's own route: arrays as lists, everything else as it is."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if hasattr(value, "tolist") else value


def _typed(api: Any, payload: Any) -> Any:
    """The request as the pydantic type that `decode_request` names, as LitServe gives it."""
    kind = inspect.signature(api.decode_request, eval_str=True).parameters["request"].annotation
    return kind.model_validate(payload) if hasattr(kind, "model_validate") else payload


def _call(hook: Callable[..., Any], argument: Any, *, context: Any) -> Any:
    """LitServe injects `context` into the hooks that name it."""
    named = "context" in inspect.signature(hook).parameters
    result = hook(argument, context=context) if named else hook(argument)
    return _loop().run_until_complete(result) if inspect.iscoroutine(result) else result


def _each(values: Any) -> Iterator[Any]:
    if not isinstance(values, AsyncIterator):
        yield from values
        return
    done = object()
    try:
        while (value := _loop().run_until_complete(anext(values, done))) is not done:
            yield value
    finally:
        if hasattr(values, "aclose"):
            _loop().run_until_complete(values.aclose())


_event_loop: asyncio.AbstractEventLoop | None = None


def _loop() -> asyncio.AbstractEventLoop:
    """One loop for the worker's life: async clients that `setup` made stay usable between calls."""
    global _event_loop
    if _event_loop is None:
        _event_loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_event_loop)
    return _event_loop
