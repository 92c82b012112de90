"""Tensors of the protocol for LitAPIs that were not written for it: as numpy or torch before, from anything after.

Called by `engine.hooks` in the worker. `models.contract.PlainOptions` tells authors what they get; overriding
`decode_request` or `encode_response` replaces all of it. torch is imported only for LitAPIs that ask for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from atheria_server.core.errors import FailedError
from atheria_server.core.tensors import BF16, TensorError, float32_of, to_array
from atheria_server.models.contract import Array, Arrays

DEFAULT_OUTPUT: Final = "output"


def as_numpy(arrays: Arrays) -> dict[str, Any]:
    """The same arrays; BF16, which numpy lacks, as float32."""
    return {name: float32_of(a) if a.dtype == BF16 else a for name, a in arrays.items()}


def as_torch(arrays: Arrays) -> dict[str, Any]:
    """Tensors that share the arrays' memory; BYTES, which torch lacks, stays an object array."""
    return {name: _tensor(array) if array.dtype.kind != "O" else array for name, array in arrays.items()}


def as_values(arrays: Arrays) -> dict[str, Any]:
    """Lists, BYTES as texts: what a JSON body would hold. For LitAPIs whose request is a pydantic object."""
    return {name: _texts(a).tolist() for name, a in as_numpy(arrays).items()}


def as_outputs(value: Any) -> dict[str, Array]:
    """What encode_response returned, as tensors by name. Raises FailedError naming what no tensor can hold."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(by_alias=True)
    if not isinstance(value, Mapping):
        value = {DEFAULT_OUTPUT: value}
    return {str(name): _array(str(name), item) for name, item in value.items()}


def _tensor(array: Array) -> Any:
    torch = _torch()
    if array.dtype == BF16:
        return torch.from_numpy(array.view("<u2")).view(torch.bfloat16)
    return torch.from_numpy(array)


@cache
def _torch() -> Any:
    import torch

    with warnings.catch_warnings():
        # Says once in a process that a tensor cannot be read-only; PlainOptions.oip_views says it to the author.
        warnings.simplefilter("ignore")
        torch.from_numpy(np.frombuffer(b"\0", np.uint8))
    return torch


def _array(name: str, value: Any) -> Array:
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "detach"):
        array = _of_torch(value.detach())
    elif isinstance(value, list | tuple) and value and hasattr(value[0], "detach"):
        array = np.stack([_of_torch(item.detach()) for item in value])
    else:
        array = _of_python(name, value)
    if array.dtype.kind == "O" and not all(isinstance(item, bytes | str) for item in array.flat):
        raise FailedError(_not_a_tensor(name, next(i for i in array.flat if not isinstance(i, bytes | str))))
    try:
        return to_array(array)
    except TensorError as error:
        raise FailedError(f"output {name!r}: {error}") from error


def _of_torch(tensor: Any) -> Array:
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":
        bits: Array = tensor.contiguous().view(_torch().uint16).numpy()
        return bits.view(BF16)
    array: Array = tensor.numpy()
    return array


def _of_python(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "SU":
            return array
    except UnicodeDecodeError:  # texts and bytes mixed
        pass
    except ValueError as error:  # lists of unequal lengths
        raise FailedError(_not_a_tensor(name, value)) from error
    # numpy's own type for bytes drops zeros at their ends.
    array = np.array(value, dtype=object)
    for index, item in np.ndenumerate(array):
        if isinstance(item, str):
            array[index] = item.encode()
    return array


def _texts(array: Array) -> Array:
    if array.dtype.kind != "O":
        return array
    try:
        texts = [item.decode() for item in array.flat]
    except UnicodeDecodeError as error:
        raise TensorError(f"a BYTES tensor is not UTF-8: {error}") from error
    return np.array([*texts, None], dtype=object)[:-1].reshape(array.shape)


def _not_a_tensor(name: str, value: Any) -> str:
    return (
        f"the model's output {name!r} holds a {type(value).__name__}, which is no tensor; return arrays, numbers or "
        "texts from encode_response, or call the LitAPI's own route"
    )
