"""Finds the networks of a LitAPI, their layers and the groups of these, for `core.precision` to plan with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from atheria_server.core.precision import CONVERTIBLE, GROUPS, Layer
from atheria_server.optimize.precision.counted import weight_bytes


def modules_of(api: Any) -> Mapping[str, nn.Module]:
    """The LitAPI's networks by name: what its `modules()` gives, else its attributes that are modules."""
    if hasattr(api, "modules"):
        return dict(api.modules())
    return {name: value for name, value in vars(api).items() if isinstance(value, nn.Module)}


def groups_of(api: Any, modules: Mapping[str, nn.Module]) -> Mapping[str, Sequence[str]]:
    """Group -> patterns of names: what the LitAPI's `module_groups()` gives.

    Else the first convertible layer of each network, in the order it was built, is its encoder, the last its head.
    """
    if hasattr(api, "module_groups"):
        return {group: tuple(patterns) for group, patterns in api.module_groups().items()}
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name, module in modules.items():
        names = [layer.name for layer in layers_of({name: module}) if layer.kind in CONVERTIBLE]
        groups["encoder"] += names[:1]
        groups["backbone"] += names[1:-1]
        groups["head"] += names[1:][-1:]
    return groups


def critical_of(api: Any) -> Sequence[str]:
    """Patterns of layers that keep their precision under a policy of one word: what the LitAPI's `critical_layers()` gives."""
    return tuple(api.critical_layers()) if hasattr(api, "critical_layers") else ()


def layers_of(modules: Mapping[str, nn.Module]) -> tuple[Layer, ...]:
    """Every module with parameters of its own, once, in the order it was built."""
    return tuple(
        Layer(
            name=name,
            kind=type(module).__name__,
            in_features=int(getattr(module, "in_features", getattr(module, "in_channels", 0))),
            out_features=int(getattr(module, "out_features", getattr(module, "out_channels", 0))),
            weight_bytes=weight_bytes({name: module}),
            fixed=_fixed(name, module, is_whole=name in modules),
        )
        for name, module in _owners(modules)
    )


def _owners(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    seen: set[int] = set()
    for root, network in modules.items():
        for path, module in network.named_modules(prefix=root):
            if id(module) not in seen and next(module.parameters(recurse=False), None) is not None:
                seen.add(id(module))
                yield path, module


def _fixed(name: str, module: nn.Module, *, is_whole: bool) -> str:
    if is_whole:
        return f"{name} is a whole network, which cannot replace itself; put it into an nn.Sequential"
    if type(module).__module__.startswith("torch.nn."):
        return ""
    return "a class of the model's own, which may compute something else"
