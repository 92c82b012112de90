"""The inputs on which variants are compared: the LitAPI's own golden calls, or its warm-up calls filled with noise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from atheria_server.core.quality import QualityError
from atheria_server.core.tensors import BF16, bfloat16_of
from atheria_server.models.contract import Array, InvalidRequestError, WarmupCall

_log = logging.getLogger("atheria.quality")


def golden_calls(
    api: Any,
    shapes: Sequence[tuple[int, ...]],
    count: int,
    max_rows: int,
    *,
    requests: Sequence[WarmupCall] = (),
) -> Sequence[WarmupCall]:
    """Calls of `count` rows or more and of at most `max_rows` rows each, so that they hit the batch sizes that are served.

    `shapes` as for `warmup_calls`; `requests` are the user's own (`warmup.requests`) and come on top. A model without
    `golden_calls` gets its warm-up calls; of those, floating-point inputs with one value everywhere become standard normal
    numbers where `validate` takes them, because zeros prove little. Equal arguments give equal calls. Raises
    QualityError.
    """
    if count < 1 or max_rows < 1:
        raise QualityError(
            f"quality.ensemble is {count} and the largest batch is {max_rows}; both must be at least 1"
        )
    own = getattr(api, "golden_calls", None)
    try:
        if callable(own):
            calls = [part for call in own(shapes, count) for part in _split(api, call, max_rows)]
        else:
            calls = [*_noisy_calls(api, shapes, count, max_rows), *requests]
    except QualityError:
        raise
    except Exception as error:
        # All of it is the author's code: golden_calls, warmup_calls and validate.
        raise QualityError(
            f"the golden calls of {type(api).__name__} cannot be made: {type(error).__name__}: "
            f"{' '.join(str(error).split())}; correct golden_calls() or warmup_shapes"
        ) from error
    if not calls:
        raise QualityError(
            f"{type(api).__name__} has no golden call; let golden_calls() or warmup_calls() return some, "
            "or set warmup.requests"
        )
    if all(_is_constant(array) for call in calls for array in call.inputs.values()):
        _log.warning(
            "event=golden_inputs_constant litapi=%s every input has one value everywhere, which proves little; "
            "give the LitAPI golden_calls(), or set warmup.requests",
            type(api).__name__,
        )
    return calls


def _split(api: Any, call: WarmupCall, max_rows: int) -> Sequence[WarmupCall]:
    rows = api.validate(call.inputs, call.parameters, streaming=False).rows
    if rows <= max_rows:
        return [call]
    if any(np.ndim(array) == 0 or len(array) != rows for array in call.inputs.values()):
        raise QualityError(
            f"a golden call of {type(api).__name__} has {rows} rows and cannot be split, the largest batch is {max_rows}; "
            "let golden_calls() return calls of one row"
        )
    return [
        replace(call, inputs={name: array[start : start + max_rows] for name, array in call.inputs.items()})
        for start in range(0, rows, max_rows)
    ]


def _noisy_calls(
    api: Any, shapes: Sequence[tuple[int, ...]], count: int, max_rows: int
) -> Sequence[WarmupCall]:
    generator = np.random.default_rng(0)
    found = []
    for start in range(0, count, max_rows):
        for call in api.warmup_calls(shapes, min(max_rows, count - start)):
            noisy = replace(
                call, inputs={name: _noisy(array, generator) for name, array in call.inputs.items()}
            )
            found.append(noisy if _is_valid(api, noisy) else call)
    return found


def _noisy(array: Array, generator: np.random.Generator) -> Array:
    values = np.asarray(array)
    if not _is_constant(values) or not (values.dtype.kind == "f" or values.dtype == BF16):
        return values
    normal = generator.standard_normal(values.shape, np.float32)
    return bfloat16_of(normal) if values.dtype == BF16 else normal.astype(values.dtype)


def _is_constant(array: Array) -> bool:
    values = np.ravel(np.asarray(array))
    return bool(np.all(values == values[:1])) if values.size else True


def _is_valid(api: Any, call: WarmupCall) -> bool:
    try:
        api.validate(call.inputs, call.parameters, streaming=False)
    except InvalidRequestError:
        return False
    return True
