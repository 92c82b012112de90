"""What the device and the installed libraries can do, for `core.precision` to refuse or to note."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Final

import torch

from atheria_server.core.precision import Capability

_CPUINFO: Final = Path("/proc/cpuinfo")


def probe(device: str, cpuinfo: Path = _CPUINFO) -> Capability:
    """Of `device` as torch names it (`cpu`, `cuda:0`). Raises RuntimeError where torch cannot use the GPU."""
    bitsandbytes = _version("bitsandbytes")
    if device.startswith("cuda"):
        return Capability(
            kind="cuda",
            name=torch.cuda.get_device_name(device),
            sm=torch.cuda.get_device_capability(device),
            bitsandbytes=bitsandbytes,
            torch=torch.__version__,
        )
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return Capability(
        kind="cpu",
        name=name[1] if name else platform.machine(),
        cpu_flags=frozenset(flags[1].split() if flags else ()),
        bitsandbytes=bitsandbytes,
        torch=torch.__version__,
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
