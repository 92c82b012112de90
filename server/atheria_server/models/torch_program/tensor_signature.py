"""Which tensors a model takes and gives, with sizes that vary together; checks calls against it. Pure, without torch.

Made of a .pt2 file by `program_signature` and of an `atheria.json` by `models.torch_module`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from atheria_server.core.tensors import BYTES, DTYPES, datatype_of
from atheria_server.models.contract import (
    Array,
    Arrays,
    InvalidRequestError,
    ModelMetadata,
    Parameters,
    TensorSpec,
    ValidCall,
    WarmupCall,
)
from atheria_server.models.torch_program.dimensions import Dimension

ANY: Final = None
"""A dimension of any size, equal to no other."""
FLOATS: Final = ("FP16", "BF16", "FP32", "FP64")


class SignatureError(ValueError):
    """The model cannot be served by these tensors; the message says which one and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output."""

    name: str
    datatype: str
    dimensions: tuple[Dimension | None, ...]
    """The first one is the batch."""
    minimum: float | None = None
    """Of its values; None = any."""
    maximum: float | None = None

    @property
    def shown_shape(self) -> str:
        """For errors."""
        return "[" + ", ".join("any" if d is ANY else str(d) for d in self.dimensions) + "]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRange:
    """Values that a symbol may have."""

    low: int = 1
    high: int | None = None
    default: int = 1
    """For warm-up calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The tensors of a model. Made by `signature_of`, which checks it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sizes: Mapping[str, SizeRange] = field(default_factory=dict)
    """By symbol; one that is not here may have any size from 1."""
    batch_symbol: str = ""
    batch_low: int = 1
    """Rows that the model itself computes at least; fewer are filled up."""
    batch_high: int | None = None
    """Rows that the model itself computes at most; more are computed in parts."""

    def metadata(self) -> ModelMetadata:
        """-1 for everything that varies."""
        return ModelMetadata(
            inputs=tuple(_spec(tensor) for tensor in self.inputs),
            outputs=tuple(_spec(tensor) for tensor in self.outputs),
        )

    def check(self, inputs: Arrays, parameters: Parameters) -> ValidCall:
        """The call, if the model can compute it. Raises InvalidRequestError."""
        if parameters:
            raise InvalidRequestError(f"unknown parameter {next(iter(parameters))!r}; this model takes none")
        names = [tensor.name for tensor in self.inputs]
        if unknown := sorted(set(inputs) - set(names)):
            raise InvalidRequestError(f"unknown input {unknown[0]!r}; allowed: {', '.join(names)}")
        if missing := [name for name in names if name not in inputs]:
            raise InvalidRequestError(f"input {missing[0]!r} is missing; send {', '.join(names)}")
        rows: int | None = None
        symbols: dict[str, int] = {}
        for tensor in self.inputs:
            array = inputs[tensor.name]
            self._check_array(tensor, array, symbols)
            if rows not in (None, len(array)):
                raise InvalidRequestError(
                    f"input {tensor.name!r} has {len(array)} rows, but {names[0]!r} has {rows}"
                )
            rows = len(array)
        return ValidCall(
            inputs={name: inputs[name] for name in names},
            rows=rows or 1,
            batch_key=("tensors", tuple(sorted(symbols.items()))),
        )

    def calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> list[WarmupCall]:
        """One call of zeros for each shape of the first input (of one row); without any, for the default sizes.

        Raises InvalidRequestError.
        """
        return [
            WarmupCall(inputs={t.name: np.zeros(s, DTYPES[t.datatype]) for t, s in self.shapes(shape, rows)})
            for shape in (shapes or (None,))
        ]

    def default_shapes(self) -> list[tuple[int, ...]]:
        """What `calls` takes without shapes."""
        return [self.shapes(None, 1)[0][1][1:]]

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> list[WarmupCall]:
        """Calls of one row with normal values of a fixed seed (whole numbers: between minimum and maximum, or 0)."""
        random = np.random.default_rng(0)
        chosen: Sequence[tuple[int, ...] | None] = shapes or (None,)
        return [
            WarmupCall(
                inputs={t.name: _sample(random, t, s) for t, s in self.shapes(chosen[index % len(chosen)], 1)}
            )
            for index in range(max(count, len(chosen)))
        ]

    def shapes(self, shape: tuple[int, ...] | None, rows: int) -> list[tuple[Tensor, tuple[int, ...]]]:
        """Every input's shape, where the first one's row has `shape`. Raises InvalidRequestError."""
        symbols = {name: sizes.default for name, sizes in self.sizes.items()}
        first = self.inputs[0]
        if shape is not None:
            found: dict[str, int] = {}
            self._bind(first, (rows, *shape), found)
            symbols |= found
        result = []
        for tensor in self.inputs:
            sizes = [1 if d is ANY else d.size(_Defaults(symbols)) for d in tensor.dimensions[1:]]
            result.append((tensor, (rows, *(shape if shape is not None and tensor is first else sizes))))
        return result

    def _check_array(self, tensor: Tensor, array: Array, symbols: dict[str, int]) -> None:
        datatype = datatype_of(array)
        if datatype != tensor.datatype:
            raise InvalidRequestError(
                f"input {tensor.name!r} has datatype {datatype}; expected {tensor.datatype}"
            )
        self._bind(tensor, array.shape, symbols)
        if len(array) == 0:
            raise InvalidRequestError(f"input {tensor.name!r} has no row; send at least one")
        for limit, found, word in (
            (tensor.minimum, array.min, "at least"),
            (tensor.maximum, array.max, "at most"),
        ):
            if limit is None or not array.size:
                continue
            value = found()
            # written so that NaN, which is neither, is refused
            if not (value >= limit if word == "at least" else value <= limit):
                raise InvalidRequestError(f"input {tensor.name!r} holds {value}; expected {word} {limit:g}")

    def _bind(self, tensor: Tensor, shape: Sequence[int], symbols: dict[str, int]) -> None:
        """The symbols' values from a shape. Raises InvalidRequestError where it does not fit."""
        wrong = InvalidRequestError(
            f"input {tensor.name!r} has shape {list(shape)}; expected {tensor.shown_shape}{self._ranges(tensor)}"
        )
        if len(shape) != len(tensor.dimensions):
            raise wrong
        for size, dimension in zip(shape[1:], tensor.dimensions[1:], strict=True):
            if dimension is ANY:
                continue
            if not dimension.symbol:
                if size != dimension.offset:
                    raise wrong
                continue
            value = dimension.solve(size)
            sizes = self.sizes.get(dimension.symbol, SizeRange())
            if value is None or value < sizes.low or (sizes.high is not None and value > sizes.high):
                raise wrong
            if symbols.setdefault(dimension.symbol, value) != value:
                raise InvalidRequestError(
                    f"input {tensor.name!r} has shape {list(shape)}, where {dimension.symbol} is {value}; "
                    f"other dimensions say {symbols[dimension.symbol]}"
                )

    def _ranges(self, tensor: Tensor) -> str:
        names = dict.fromkeys(d.symbol for d in tensor.dimensions[1:] if d is not ANY and d.symbol)
        texts = []
        for name in names:
            sizes = self.sizes.get(name, SizeRange())
            texts.append(f"{name} from {sizes.low}" + ("" if sizes.high is None else f" to {sizes.high}"))
        return f" with {', '.join(texts)}" if texts else ""


def signature_of(
    inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], sizes: Mapping[str, SizeRange]
) -> Signature:
    """Raises SignatureError, above all where the tensors do not share one batch dimension."""
    for kind, tensors in (("input", inputs), ("output", outputs)):
        if not tensors:
            raise SignatureError(f"the model has no {kind} that is a tensor")
        names = [tensor.name for tensor in tensors]
        if len(set(names)) < len(names):
            raise SignatureError(f"two {kind}s have one name; the names are {', '.join(names)}")
        for tensor in tensors:
            if tensor.datatype not in DTYPES or tensor.datatype == BYTES:
                raise SignatureError(
                    f"{kind} {tensor.name!r} has datatype {tensor.datatype!r}; allowed: {', '.join(DTYPES)}"
                )
            if not tensor.dimensions:
                raise SignatureError(f"{kind} {tensor.name!r} is a single value; give it a batch dimension")
    batch = inputs[0].dimensions[0]
    for tensor in (*inputs, *outputs):
        if tensor.dimensions[0] != batch:
            raise SignatureError(
                f"{tensor.name!r} has shape {tensor.shown_shape} and {inputs[0].name!r} {inputs[0].shown_shape}; "
                "the first dimension of every input and output must be one and the same batch"
            )
    if batch is ANY:
        return Signature(inputs=inputs, outputs=outputs, sizes=sizes)
    if not batch.symbol:
        if batch.offset < 1:
            raise SignatureError(f"the batch has {batch.offset} rows; it needs one at least")
        return Signature(
            inputs=inputs, outputs=outputs, sizes=sizes, batch_low=batch.offset, batch_high=batch.offset
        )
    if batch.factor != 1 or batch.offset:
        raise SignatureError(f"the batch dimension is {batch}; export it as a size of its own")
    for tensor in inputs:
        if any(d is not ANY and d.symbol == batch.symbol for d in tensor.dimensions[1:]):
            raise SignatureError(
                f"input {tensor.name!r} has shape {tensor.shown_shape}; only its first dimension may be the batch"
            )
    rows = sizes.get(batch.symbol, SizeRange())
    return Signature(
        inputs=inputs,
        outputs=outputs,
        sizes=sizes,
        batch_symbol=batch.symbol,
        batch_low=max(1, rows.low),
        batch_high=rows.high,
    )


class _Defaults(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return SizeRange().default


def _spec(tensor: Tensor) -> TensorSpec:
    shape = tuple(-1 if d is ANY or d.symbol else d.offset for d in tensor.dimensions[1:])
    return TensorSpec(name=tensor.name, datatype=tensor.datatype, shape=(-1, *shape))


def _sample(random: np.random.Generator, tensor: Tensor, shape: tuple[int, ...]) -> Any:
    dtype = DTYPES[tensor.datatype]
    if tensor.datatype in FLOATS:
        values = random.standard_normal(shape, np.float32)
        if tensor.minimum is not None or tensor.maximum is not None:
            values = np.clip(values, tensor.minimum, tensor.maximum)
        if tensor.datatype == "BF16":
            from atheria_server.core.tensors import bfloat16_of

            return bfloat16_of(values)
        return values.astype(dtype)
    if tensor.minimum is None or tensor.maximum is None:
        return np.zeros(shape, dtype)
    return random.integers(int(tensor.minimum), int(tensor.maximum), shape, endpoint=True).astype(dtype)
