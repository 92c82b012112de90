"""What this process would compile for: the facts behind the key of an entry of compiled code. Imports torch.

Called by the pipeline.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from atheria_server.core.compile_key import CompileFacts

_CPU_INFO = Path("/proc/cpuinfo")


def compile_facts(
    *,
    model_digest: str,
    code_digest: str,
    device: str,
    mode: str,
    precision: str,
    row_buckets: Sequence[int],
    shapes: Sequence[Sequence[int]],
) -> CompileFacts:
    """The given ones, and those of this machine and its libraries."""
    on_cuda = device.startswith("cuda")
    return CompileFacts(
        model_digest=model_digest,
        code_digest=code_digest,
        torch=str(torch.__version__),
        cuda=str(torch.version.cuda or "") if on_cuda else "",
        driver=_driver() if on_cuda else "",
        architecture=_gpu(device) if on_cuda else cpu_architecture(),
        threads=torch.get_num_threads(),
        mode=mode,
        precision=precision,
        row_buckets=tuple(row_buckets),
        shapes=tuple(tuple(shape) for shape in shapes),
    )


def cpu_architecture() -> str:
    """`x86_64 AVX2 1f0c...`: the machine, what torch uses of it, and a digest of all flags, for compilers use all."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:12]
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {digest}"


def _gpu(device: str) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor} {torch.cuda.get_device_name(device)}"


def _driver() -> str:
    """Of the first line of the driver's own file, `... Kernel Module  580.65.06  ...`; not measured here."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return "unknown"
    return next((word for word in words if word.replace(".", "").isdigit()), "unknown")
