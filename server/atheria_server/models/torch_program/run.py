"""Tensors of the protocol through a network and back, in as many rows at a time as it was made for. Worker only.

Used by `api` and by `models.torch_module`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from atheria_server.core.errors import FailedError
from atheria_server.engine.plain_tensors import as_outputs, as_torch
from atheria_server.models.contract import Arrays, Batch
from atheria_server.models.torch_program.tensor_signature import Signature


def compute(network: Callable[..., Any], signature: Signature, batch: Batch, device: str) -> Arrays:
    """The outputs by name. `network` takes the inputs and gives the outputs in the signature's order, or by name.

    Raises FailedError for results that are not what the signature says.
    """
    tensors = as_torch({tensor.name: batch.inputs[tensor.name] for tensor in signature.inputs})
    # The arrays are only lent: a network that writes to its inputs must have its own.
    inputs = [tensors[tensor.name].to(device, copy=True) for tensor in signature.inputs]
    names = [tensor.name for tensor in signature.outputs]
    with torch.inference_mode():
        parts = [
            [output[:rows] for output in _outputs(network(*part), names)]
            for part, rows in _parts(inputs, batch.rows, signature)
        ]
        joined = parts[0] if len(parts) == 1 else [torch.cat(pieces) for pieces in zip(*parts, strict=True)]
    outputs = as_outputs(dict(zip(names, joined, strict=True)))
    for tensor in signature.outputs:
        found = outputs[tensor.name]
        if found.ndim != len(tensor.dimensions):
            raise FailedError(
                f"the model's output {tensor.name!r} has shape {list(found.shape)}; declared is {tensor.shown_shape}"
            )
    return outputs


def _parts(inputs: Sequence[Tensor], rows: int, signature: Signature) -> Iterator[tuple[list[Tensor], int]]:
    """Inputs of so many rows as the network takes, and how many of them are wanted."""
    most = signature.batch_high or rows
    for start in range(0, rows, most):
        wanted = min(most, rows - start)
        part = [tensor[start : start + wanted] for tensor in inputs]
        if (lacking := signature.batch_low - wanted) > 0:
            part = [torch.cat([tensor, tensor[-1:].expand(lacking, *tensor.shape[1:])]) for tensor in part]
        yield part, wanted


def _outputs(result: Any, names: Sequence[str]) -> list[Tensor]:
    if isinstance(result, Tensor):
        result = (result,)
    if isinstance(result, Mapping):
        if missing := [name for name in names if name not in result]:
            raise FailedError(
                f"the model gave {', '.join(map(str, result))}; its declared output {missing[0]!r} is not there"
            )
        result = [result[name] for name in names]
    if not isinstance(result, list | tuple) or len(result) != len(names):
        found = len(result) if isinstance(result, list | tuple) else type(result).__name__
        raise FailedError(f"the model gave {found} results; declared are {len(names)}: {', '.join(names)}")
    if wrong := [name for name, value in zip(names, result, strict=True) if not isinstance(value, Tensor)]:
        raise FailedError(f"the model's output {wrong[0]!r} is no tensor")
    return list(result)
