"""One kernel at one length in a process of its own, so that its memory is nobody else's: `python -m bench.attention.case`.

Linux: the kernel's high-water mark of resident memory is reset before the first call and read behind the last.
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

HEADS: Final = 8
HEAD_SIZE: Final = 64
CALLS: Final = 3
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFigures:
    """What one process found."""

    seconds: float
    """Of the fastest call behind the first."""
    extra_bytes: int
    """Resident memory at its most, over that before the first call; result included."""


def measure(kernel: str, tokens: int) -> CaseFigures:
    """Causal attention of `tokens` queries over as many keys, one thread."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from atheria_server.models.text.attention import AttentionKernel, attending_by

    torch.set_num_threads(1)
    queries, keys, values = torch.randn(3, 1, HEADS, tokens, HEAD_SIZE).unbind()
    seconds = []
    _CLEAR.write_text(_RESET_PEAK)
    before = _resident_bytes("VmRSS")
    with torch.inference_mode(), attending_by(AttentionKernel(kernel)):
        for _ in range(CALLS):
            start = time.perf_counter()
            scaled_dot_product_attention(queries, keys, values, is_causal=True)
            seconds.append(time.perf_counter() - start)
    return CaseFigures(seconds=min(seconds[1:]), extra_bytes=_resident_bytes("VmHWM") - before)


def _resident_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {field}: run the bench on Linux")
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))))
