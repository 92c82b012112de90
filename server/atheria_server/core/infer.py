"""One inference request and its answer, free of any protocol.

Both transports translate to and from these; the service checks and computes them. Nobody changes them; they are not
frozen because that would triple the price of making them for each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Scalar = str | int | float | bool
Array = npt.NDArray[Any]


@dataclass(slots=True, kw_only=True, eq=False)
class InferRequest:
    """What a caller asks."""

    model_name: str
    model_version: str = ""
    request_id: str = ""
    inputs: Mapping[str, Array]
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    """Names wanted; empty = all."""
    timeout_seconds: float | None = None
    """How much longer the caller waits; None = no limit."""

    @property
    def size_bytes(self) -> int:
        """About the memory that its tensors and its texts take."""
        arrays = self.inputs.values()
        texts = [
            *self.parameters.values(),
            *(one for array in arrays if array.dtype == object for one in array.flat),
        ]
        return sum(array.nbytes for array in arrays) + sum(
            len(one) for one in texts if isinstance(one, str | bytes)
        )


@dataclass(slots=True, kw_only=True, eq=False)
class InferAnswer:
    """A result, or one frame of a stream."""

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    index: int = 0
    """Of a frame in its stream, from 0, whatever frame the caller began with."""
    body: tuple[bytes, ...] = ()
    """A frame of LitServe's own route, as `engine.bodies` packs it; it has no tensors."""
