"""What tells the calls of one compiled form from those of another. On the way of every call: keep it short."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def layout_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable:
    """Layouts of the tensors and values of everything else, in order, and whether this is inference mode.

    Torch compiles for tensors that were made in that mode or for others, never for both.
    """
    key = [torch.is_inference_mode_enabled(), *[_of(value) for value in args]]
    if kwargs:
        key += [(name, _of(kwargs[name])) for name in sorted(kwargs)]
    return tuple(key)


def described(key: Hashable) -> str:
    """For people: `float32[8, 16, 16, 16] on cpu, 8`."""
    if not isinstance(key, tuple):
        return str(key)
    return ", ".join(_described(one) for one in key[1:])


def _of(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return (
            value.shape,
            value.stride(),
            value.dtype,
            value.device,
            value.requires_grad,
            value.is_inference(),
        )
    if isinstance(value, tuple | list):
        return (type(value), *[_of(one) for one in value])
    # 1, 1.0 and True are equal, but not the same to a compiler.
    return (type(value), value)


def _described(one: Any) -> str:
    if isinstance(one, tuple) and isinstance(one[0], torch.Size):
        shape, _, dtype, device, *_ = one
        return f"{str(dtype).removeprefix('torch.')}{list(shape)} on {device}"
    if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], type):
        return repr(one[1])
    return str(one)
