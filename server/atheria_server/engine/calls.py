"""A checked call on its way to a worker, and what decides whether it may share a batch.

Made by `engine.service` from a request, queued by `engine.engine`, written to shared memory by `engine.process`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from atheria_server.core.padding import LengthPadding, cut, pad
from atheria_server.core.request import PRIORITY_DEFAULT
from atheria_server.core.tensors import datatype_of
from atheria_server.models.contract import Array, Arrays, Parameters, Scalar, ValidCall


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One call that passed all checks of the front. Nobody changes what it asks; freezing would triple the price of making it."""

    bucket: Hashable
    """Calls of equal buckets may be computed together."""
    inputs: Arrays = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    rows: int = 1
    api_path: str = ""
    """Of LitServe's own route."""
    body: tuple[bytes, ...] = ()
    """Of LitServe's own route, as `engine.bodies` packs it; such a call has no tensors."""
    outputs: tuple[str, ...] = ()
    """Names wanted; empty = all."""
    streaming: bool = False
    described: bool = False
    """Rows of its batch are concatenated into one entry; otherwise each call is an entry of its own."""
    priority: int = PRIORITY_DEFAULT
    padding: LengthPadding | None = None
    own_length: int = 0
    """Of its sequences, before they were padded."""
    padded_length: int | None = None
    """None = nothing is padded."""
    is_accepted: bool = False
    """Before a check that took long (`Engine.checking`): a server that drains computes it too."""
    queue_seconds: float = 0.0
    """How long it waited for a worker; this and the two below are noted by `metrics` for the line about a slow call."""
    batch_rows: int = 0
    """Rows of the batch that it was part of."""
    inference_seconds: float = 0.0
    """Of that batch inside the worker."""

    @property
    def size_bytes(self) -> int:
        """Memory that its tensors or its body take."""
        return sum(array.nbytes for array in self.inputs.values()) + sum(map(len, self.body))

    def cut(self, outputs: dict[str, Array]) -> dict[str, Array]:
        """The outputs without what padding added."""
        return outputs if self.padding is None else cut(self.padding, outputs, self.own_length)


def described_call(
    valid: ValidCall, outputs: tuple[str, ...], *, streaming: bool, priority: int = PRIORITY_DEFAULT
) -> Call:
    """Of a described model: rows are concatenated, so everything behind the first dimension must be equal.

    Raises PaddingError.
    """
    inputs: Arrays = valid.inputs
    own, padded = 0, None
    if valid.padding is not None:
        inputs, own, padded = pad(valid.padding, valid.inputs)
    layout = tuple((n, datatype_of(a), a.shape[1:]) for n, a in sorted(inputs.items()))
    return Call(
        bucket=("rows", layout, parameter_key(valid.parameters), valid.batch_key),
        inputs=inputs,
        parameters=valid.parameters,
        rows=valid.rows,
        outputs=outputs,
        streaming=streaming,
        described=True,
        priority=priority,
        padding=valid.padding,
        own_length=own,
        padded_length=padded,
    )


def plain_call(
    inputs: Arrays,
    parameters: Parameters,
    outputs: tuple[str, ...],
    *,
    streaming: bool,
    priority: int = PRIORITY_DEFAULT,
) -> Call:
    """Of a plain LitAPI: the call is one item for `LitAPI.batch`, whatever its shape."""
    layout = tuple((n, datatype_of(a), a.shape) for n, a in sorted(inputs.items()))
    return Call(
        bucket=("call", layout, parameter_key(parameters)),
        inputs=inputs,
        parameters=parameters,
        outputs=outputs,
        streaming=streaming,
        priority=priority,
    )


def body_call(api_path: str, body: tuple[bytes, ...], *, streaming: bool) -> Call:
    """Of LitServe's own route: only calls of the same one share a batch."""
    return Call(bucket=("body", api_path), api_path=api_path, body=body, streaming=streaming)


def parameter_key(parameters: Mapping[str, Scalar]) -> Hashable:
    """Equal only for equal names, types and values: 1, 1.0 and true are three different parameters."""
    return tuple((name, type(value).__name__, value) for name, value in sorted(parameters.items()))
