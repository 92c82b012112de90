"""What the device that is measured is called in the tables of prices and data sheets. Called by the reports.

Not run on a GPU where this was written.
"""

from __future__ import annotations

from collections.abc import Mapping

from atheria_server.core.roofline import Device


def this_device(device: str, devices: Mapping[str, Device]) -> str:
    """`cpu`, or the name of the GPU `cuda:N` in the table, by its model and memory; its own name where there is none."""
    if not device.startswith("cuda"):
        return "cpu"
    import torch

    properties = torch.cuda.get_device_properties(device)
    return closest(properties.name, properties.total_memory / 1e9, devices)


def closest(name: str, memory_gigabytes: float, devices: Mapping[str, Device]) -> str:
    """The entry whose model is a word of the driver's `name`, with the memory that is nearest."""
    words = name.replace("-", " ").split()
    fitting = [entry for entry in devices if entry.partition("-")[0] in words]
    return min(
        fitting, key=lambda entry: abs(devices[entry].memory_gigabytes - memory_gigabytes), default=name
    )
