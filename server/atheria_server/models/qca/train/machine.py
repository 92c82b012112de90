"""What this machine lacks for a training, and what it cannot gain here: said before the training starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from atheria_server.models.qca.train.options import TrainingOptions

_CPUINFO: Final = Path("/proc/cpuinfo")
_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def lacking(options: TrainingOptions) -> str:
    """Why the training cannot run here, with what to do; "" if it can."""
    import torch

    if options.device == "cpu":
        if options.compiled and shutil.which(os.environ.get("CXX", "g++")) is None:
            return "--compile needs a C++ compiler, and there is no g++; install one or leave it out"
        if options.shard == "fsdp" and not hasattr(torch.cpu.Stream, "record_event"):
            return f"--shard fsdp on the CPU is not in torch {torch.__version__}; set --shard zero, or use torch 2.15"
        return ""
    if not torch.cuda.is_available():
        return f"--device is {options.device}, but torch finds no CUDA device; set --device cpu"
    if torch.cuda.device_count() < options.processes:
        return (
            f"--processes is {options.processes}, but there are {torch.cuda.device_count()} GPUs; "
            "each process needs its own"
        )
    return ""


def remark(options: TrainingOptions, cpuinfo: Path = _CPUINFO) -> str:
    """Which option cannot gain anything here, and why; "" for none."""
    if options.device != "cpu":
        return ""
    if options.pin_memory:
        return "pinned memory cannot gain on the CPU: there is no copy to a device that it could speed up"
    if options.amp and not _multiplies_bf16(cpuinfo):
        return "bf16 cannot gain on this processor: it has no instructions for it, so torch emulates the products"
    return ""


def _multiplies_bf16(cpuinfo: Path) -> bool:
    """True where that cannot be told."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return True
    return bool(words & _BF16_FLAGS)
