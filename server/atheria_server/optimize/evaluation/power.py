"""Joules of a GPU by NVML, where it and its Python package are there. Called by `evaluate`.

Not measured on the machine where this was written: it has no GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


class PowerError(RuntimeError):
    """Energy is not measurable here; the message says why."""


def energy_meter(device: str) -> Callable[[], float]:
    """A function that gives the joules used so far by the device. Raises PowerError."""
    if not device.startswith("cuda"):
        raise PowerError("no GPU; processors do not give their power to a container")
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError as error:
        raise PowerError("the package nvidia-ml-py is not installed; pip install nvidia-ml-py") from error
    index = int(device.partition(":")[2] or 0)
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        raise PowerError(f"NVML gives no energy of {device}: {error}") from error

    def joules() -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    return joules
