"""What holds a model up, said in one sentence before anything is changed. Pure rules; used by `profile`.

Checked in the order in which a remedy pays: work outside the device first, then a device that waits for its program,
then the device itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from atheria_server.core.batch_time import BatchTime

Kind = Literal["preprocessing", "launch", "memory", "compute"]
DEVICE_STAGE: Final = "device"
MAJORITY: Final = 0.5
_ADVICE: Final[Mapping[Kind, str]] = {
    "preprocessing": (
        "do the work around the model once (decode_cache_entries, smaller or binary tensors, fewer outputs) before "
        "touching the model"
    ),
    "launch": (
        "larger batches and compiled graphs (compile: reduce-overhead on CUDA) remove it; cheaper weights would not"
    ),
    "memory": (
        "fuse (compile), and use narrower activations such as bf16; quantised weights save memory, not time, unless "
        "weights are most of what is read"
    ),
    "compute": "narrower arithmetic (bf16, int8 or fp8 where the device has it) is what helps; batches gain little",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was measured of one call."""

    stage_seconds: Mapping[str, float]
    """Seconds by stage; one of them is `device`, what the model itself takes."""
    busy_share: float
    """Part of the model's time in which the device computes (CUDA), or which is spent in operations of torch (CPU)."""
    launches: int
    """Kernels (CUDA) or operations (CPU) that the call starts."""
    launch_seconds: float
    """What starting one costs."""
    arithmetic_share: float
    """Part of the operations' time in matrix products and convolutions."""
    batch_time: BatchTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """The verdict."""

    kind: Kind
    sentence: str
    advice: str


def find_bottleneck(seen: Observed) -> Bottleneck:
    """The first of the rules that holds. Raises KeyError without a stage `device`."""
    total = sum(seen.stage_seconds.values())
    device = seen.stage_seconds[DEVICE_STAGE]
    outside = 1 - device / total
    launching = min(1.0, seen.launches * seen.launch_seconds / device)
    fixed = seen.batch_time.fixed_share
    if outside >= MAJORITY:
        around = {name: value for name, value in seen.stage_seconds.items() if name != DEVICE_STAGE}
        worst = max(around, key=lambda name: around[name])
        return _verdict(
            "preprocessing",
            f"{_percent(outside)} of a call is spent outside the model, most of it in {worst} "
            f"({_percent(around[worst] / total)})",
        )
    if seen.busy_share < MAJORITY:
        return _verdict(
            "launch",
            f"only {_percent(seen.busy_share)} of the model's time is computation; the rest waits for the program that "
            f"starts {seen.launches} operations",
        )
    if launching >= MAJORITY:
        return _verdict(
            "launch", f"starting {seen.launches} operations takes {_percent(launching)} of the model's time"
        )
    if fixed >= MAJORITY:
        return _verdict(
            "launch",
            f"{_percent(fixed)} of a single row's time does not depend on the row; a batch gains up to "
            f"{seen.batch_time.gain_limit:.1f} times",
        )
    kind: Kind = "compute" if seen.arithmetic_share >= MAJORITY else "memory"
    doing = (
        f"{_percent(seen.arithmetic_share)} of the operations' time is matrix products and convolutions"
        if kind == "compute"
        else f"{_percent(1 - seen.arithmetic_share)} of the operations' time only moves values element by element"
    )
    return _verdict(kind, f"{doing}, and {_percent(1 - fixed)} of a single row's time grows with the rows")


def _verdict(kind: Kind, reason: str) -> Bottleneck:
    return Bottleneck(kind=kind, sentence=f"{kind}-bound: {reason}.", advice=_ADVICE[kind])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
