"""What a variant takes while it computes: peak memory, fragmentation, busy share, energy. Called by `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from atheria_server.engine.device_memory import measure
from atheria_server.optimize.evaluation.power import PowerError, energy_meter
from atheria_server.optimize.profiling.operations import count_operations, peak_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Measured over repeated batches; None with a reason for what this machine cannot tell."""

    peak_bytes: int
    """Of torch, beyond what was in use before the batch."""
    busy_share: float
    """Part of the batch's time in kernels (CUDA) or in operations of torch (CPU)."""
    fragmentation: float | None
    """Reserved memory that nothing uses at the peak, by the reserved."""
    fragmentation_note: str
    joules_per_row: float | None
    joules_note: str


def measure_resources(compute: Callable[[], object], device: str, rows: int, *, calls: int = 20) -> Resources:
    """Of `compute`, a batch of `rows`. Raises what it raises."""
    peak = working_bytes(compute, device, rows)
    fragmentation, fragmentation_note = _fragmentation(device)
    joules, joules_note = _joules(compute, device, rows, calls)
    return Resources(
        peak_bytes=peak,
        busy_share=count_operations(compute, device=device).busy_share,
        fragmentation=fragmentation,
        fragmentation_note=fragmentation_note,
        joules_per_row=joules,
        joules_note=joules_note,
    )


def working_bytes(compute: Callable[[], object], device: str, rows: int) -> int:
    """Memory of torch that `compute`, a batch of `rows`, takes at most, beyond what was in use. Raises what it raises."""
    compute()
    return measure(device, rows, compute)[1].peak_bytes if device.startswith("cuda") else peak_bytes(compute)


def _fragmentation(device: str) -> tuple[float | None, str]:
    if not device.startswith("cuda"):
        return None, "only CUDA's allocator tells reserved from allocated memory"
    reserved = torch.cuda.max_memory_reserved(device)
    allocated = torch.cuda.max_memory_allocated(device)
    return (reserved - allocated) / reserved if reserved else 0.0, ""


def _joules(compute: Callable[[], object], device: str, rows: int, calls: int) -> tuple[float | None, str]:
    try:
        joules = energy_meter(device)
    except PowerError as error:
        return None, str(error)
    before = joules()
    for _ in range(calls):
        compute()
    torch.cuda.synchronize(device)
    return (joules() - before) / (calls * rows), ""
