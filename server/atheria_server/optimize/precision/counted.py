"""Counts the bytes that a model's weights take: the storages that exist, each once, never a formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn


def weight_bytes(modules: Mapping[str, nn.Module]) -> int:
    """Bytes of all parameters and buffers with what is needed to read them (scales, tables).

    A storage that several tensors share counts once, and whole even where only a part of it is used.
    """
    storages = {}
    for module in modules.values():
        for tensor in _tensors(module):
            storage = tensor.untyped_storage()
            storages[tensor.device, storage.data_ptr() or id(tensor)] = storage.nbytes()
    return sum(storages.values())


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    for parameter in module.parameters():
        yield parameter
        yield from _state_tensors(getattr(parameter, "quant_state", None))
    yield from module.buffers()


def _state_tensors(state: object) -> Iterator[Tensor]:
    """Of bitsandbytes' QuantState, which is no module: its tensors, and those of the state of its scales."""
    for value in vars(state).values() if state is not None else ():
        if isinstance(value, Tensor):
            yield value
        elif hasattr(value, "absmax"):
            yield from _state_tensors(value)
