"""Linear and convolution layers of a program as the modules that they were, so that they can be quantised by name.

An exported program is flat: `aten.linear(x, weight, bias)`. Where weight and bias belong to that operation alone, `graph`
puts the layer in its place again, under its old name. Worker only.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn

_CONVOLUTIONS: Final[dict[str, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]]] = {
    "torch.ops.aten.conv1d.default": nn.Conv1d,
    "torch.ops.aten.conv2d.default": nn.Conv2d,
    "torch.ops.aten.conv3d.default": nn.Conv3d,
}
_LINEAR: Final = "torch.ops.aten.linear.default"
_OPTIONS: Final = ("stride", "padding", "dilation")
_PART: Final = re.compile(r"[A-Za-z0-9_]+")


def uses(nodes: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How often each value of the file is an argument."""
    found: Counter[str] = Counter()
    for node in nodes:
        for entry in node["inputs"]:
            _count(entry["arg"], found)
    return found


def make_layer(
    target: str, given: Mapping[str, Any], weight: nn.Parameter, bias: nn.Parameter | None
) -> nn.Module | None:
    """The layer that computes `target`, `given` its arguments beside the weights; None = there is none for it."""
    with torch.device("meta"):  # its own weights are never made
        if target == _LINEAR and weight.ndim == 2 and set(given) == {"input"}:
            made: Any = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        elif target in _CONVOLUTIONS and set(given) <= {"input", "groups", *_OPTIONS}:
            size: Any = tuple(weight.shape[2:])
            groups = given.get("groups", 1)
            options: dict[str, Any] = {name: tuple(given[name]) for name in _OPTIONS if name in given}
            if any(not _fits(value, size) for value in options.values()) or not isinstance(groups, int):
                return None
            kind = _CONVOLUTIONS[target]
            made = kind(
                weight.shape[1] * groups,
                weight.shape[0],
                size,
                groups=groups,
                bias=bias is not None,
                **options,
            )
            if made.weight.shape != weight.shape:
                return None
        else:
            return None
    made.weight = weight
    if bias is not None:
        made.bias = bias
    return made.eval()  # type: ignore[no-any-return]


def place(root: nn.Module, path: str, value: nn.Module | torch.Tensor) -> bool:
    """Put `value` below `root` at a dotted path of the file's names. False = it cannot have that name.

    The names become Python source: only plain ones do.
    """
    *folders, last = path.split(".")
    if not all(_PART.fullmatch(part) and not keyword.iskeyword(part) for part in (*folders, last)):
        return False
    at = root
    for part in folders:
        if not hasattr(at, part):
            at.add_module(part, nn.Module())
        child = at.get_submodule(part) if part in dict(at.named_children()) else None
        if child is None:
            return False
        at = child
    if hasattr(at, last):
        return False
    if isinstance(value, nn.Module):
        at.add_module(last, value)
    elif isinstance(value, nn.Parameter):
        at.register_parameter(last, value)
    else:
        at.register_buffer(last, value)
    return True


def _fits(values: tuple[Any, ...], size: tuple[int, ...]) -> bool:
    return len(values) == len(size) and all(isinstance(value, int) for value in values)


def _count(argument: Any, found: Counter[str]) -> None:
    if isinstance(argument, Mapping):
        for key, value in argument.items():
            if key == "name" and isinstance(value, str):
                found[value] += 1
            else:
                _count(value, found)
    elif isinstance(argument, list):
        for value in argument:
            _count(value, found)
