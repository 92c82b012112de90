"""Takes a loaded model's tensors off the GPU into host memory and back, without the model's help.

Every tensor on the device is found through the garbage collector, so weights, tables of quantised layers and what the user's code keeps
are all moved. It is the memory behind them that is given back and taken again: tensors, views and tied weights stay the same objects.
Used by `engine.worker` while nothing is computed. Imports torch only where there is a GPU.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from atheria_server.engine.device_memory import free_bytes

_ON_CPU: Final = "the model computes on the CPU: nothing is moved, its weights stay in memory"
_HOST_RESERVE: Final = 0.05
"""Part of the moved bytes that must be left of the host's memory."""


_MOVABLE_MODES: Final = ("", "off", "default")
"""The others record addresses: CUDA graphs, and packages that hold their weights themselves."""


def fixed_by(compile_mode: str, device: str) -> str:
    """Why tensors of a model that is compiled like this must stay on the device; empty = they need not."""
    if compile_mode in _MOVABLE_MODES or not device.startswith("cuda"):
        return ""
    return f"compile.mode {compile_mode} records where the weights lie: they stay on the device, only its unused cache is freed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested:
    """What a worker's rest came to."""

    freed_bytes: int = 0
    """Of the device: what torch had reserved there before, less what it has now (measured)."""
    host_bytes: int = 0
    """Of the host, for as long as the rest lasts."""
    seconds: float = 0.0
    note: str = ""
    """Why nothing was moved; empty where something was."""


class DeviceRest:
    """Of one worker."""

    def __init__(
        self, device: str, *, fixed: str = "", host_free_bytes: Callable[[], int] = free_bytes
    ) -> None:
        """`fixed` = why the tensors must stay where they are; empty = they may move."""
        self._device = device
        self._fixed = fixed
        self._host_free_bytes = host_free_bytes
        self._moved: list[tuple[Any, Any]] = []
        """Storage on the device, and its bytes on the host."""

    def rest(self) -> Rested:
        """Free the device as far as that goes. Raises what torch raises when a copy fails; then nothing was moved."""
        torch = sys.modules.get("torch")
        if torch is None or not self._device.startswith("cuda"):
            return Rested(note=_ON_CPU)
        began = time.monotonic()
        torch.cuda.synchronize(self._device)
        before = int(torch.cuda.memory_reserved(self._device))
        note = self._fixed
        if not note:
            storages = storages_on(torch, torch.device(self._device))
            # Torch takes pinned memory in powers of two.
            needed = sum(1 << (storage.nbytes() - 1).bit_length() for storage in storages)
            free = self._host_free_bytes()
            if needed * (1 + _HOST_RESERVE) > free:
                note = f"{needed} bytes would have to be kept on the host, of whose memory {free} are free: raise the memory limit"
            else:
                self._moved = to_host(torch, storages, pinned=True)
        torch.cuda.empty_cache()
        return Rested(
            freed_bytes=max(0, before - int(torch.cuda.memory_reserved(self._device))),
            host_bytes=sum(host.numel() for _, host in self._moved),
            seconds=time.monotonic() - began,
            note=note,
        )

    def rouse(self) -> None:
        """Everything as it was. Raises torch's OutOfMemoryError where somebody else has taken the device's memory."""
        if not self._moved:
            return
        torch = sys.modules["torch"]
        to_device(torch, self._moved)
        torch.cuda.synchronize(self._device)
        self._moved = []


def storages_on(torch: Any, device: Any) -> list[Any]:
    """The memory of all tensors on the device, each piece once, of those that can be given back."""
    gc.unfreeze()  # what loading made was kept away from the collector, which is asked now
    gc.collect()
    found: dict[int, Any] = {}
    for one in gc.get_objects():
        # Asking for the class of a proxy may run anybody's code.
        if not issubclass(type(one), torch.Tensor) or one.device != device or one.layout != torch.strided:
            continue
        storage = one.untyped_storage()
        # The compiler's own stand-ins for tensors lie on no device at all.
        if storage.device != device or not storage.nbytes() or not storage.resizable():
            continue
        try:
            found[storage.data_ptr()] = storage
        except RuntimeError:
            # A quantised tensor that is made of others has no memory of its own; those are found themselves.
            continue
    gc.freeze()
    return list(found.values())


def to_host(torch: Any, storages: list[Any], *, pinned: bool) -> list[tuple[Any, Any]]:
    """Each piece of memory, given back, and its bytes on the host; `pinned`, the way back is as fast as the bus."""
    moved = []
    for storage in storages:
        host = torch.empty(storage.nbytes(), dtype=torch.uint8, pin_memory=pinned)
        host.copy_(_bytes_of(torch, storage))
        moved.append((storage, host))
    # Only now, when everything has arrived: a failure before leaves the model as it was.
    for storage, _ in moved:
        storage.resize_(0)
    return moved


def to_device(torch: Any, moved: list[tuple[Any, Any]]) -> None:
    """The way back; the copies may still run when it returns."""
    for storage, host in moved:
        storage.resize_(host.numel())
        _bytes_of(torch, storage).copy_(host, non_blocking=True)


def _bytes_of(torch: Any, storage: Any) -> Any:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage, 0, (storage.nbytes(),))
