"""A checked call on its way to a worker, and what decides whether it may share a batch.

Made by `engine.service` from a request, queued by `engine.engine`, written to shared memory by `engine.process`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atheria_server.core.tensors import datatype_of
from atheria_server.models.contract import Arrays, Parameters, Scalar, ValidCall

NO_JSON = object()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One call that passed all checks of the front."""

    bucket: Hashable
    """Calls of equal buckets may be computed together."""
    inputs: Arrays = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    rows: int = 1
    json: Any = NO_JSON
    """Body of LitServe's own route; such a call has no tensors."""
    outputs: tuple[str, ...] = ()
    """Names wanted; empty = all."""
    streaming: bool = False
    described: bool = False
    """Rows of its batch are concatenated into one entry; otherwise each call is an entry of its own."""

    @property
    def size_bytes(self) -> int:
        """Memory that its tensors take."""
        return sum(array.nbytes for array in self.inputs.values())


def described_call(valid: ValidCall, outputs: tuple[str, ...], *, streaming: bool) -> Call:
    """Of a described model: rows are concatenated, so everything behind the first dimension must be equal."""
    layout = tuple((n, datatype_of(a), a.shape[1:]) for n, a in sorted(valid.inputs.items()))
    return Call(
        bucket=("rows", layout, parameter_key(valid.parameters), valid.batch_key),
        inputs=valid.inputs,
        parameters=valid.parameters,
        rows=valid.rows,
        outputs=outputs,
        streaming=streaming,
        described=True,
    )


def plain_call(inputs: Arrays, parameters: Parameters, outputs: tuple[str, ...], *, streaming: bool) -> Call:
    """Of a plain LitAPI: the call is one item for `LitAPI.batch`, whatever its shape."""
    layout = tuple((n, datatype_of(a), a.shape) for n, a in sorted(inputs.items()))
    return Call(
        bucket=("call", layout, parameter_key(parameters)),
        inputs=inputs,
        parameters=parameters,
        outputs=outputs,
        streaming=streaming,
    )


def json_call(body: Any, *, streaming: bool) -> Call:
    """Of LitServe's own route: only such calls share a batch."""
    return Call(bucket=("json",), json=body, streaming=streaming)


def parameter_key(parameters: Mapping[str, Scalar]) -> Hashable:
    """Equal only for equal names, types and values: 1, 1.0 and true are three different parameters."""
    return tuple((name, type(value).__name__, value) for name, value in sorted(parameters.items()))
