"""Counts and times the operations of a model by torch's profiler, and what starting one costs. Called by `profile`.

The profiler slows short operations down: shares are right to some percent, absolute times are not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.autograd.profiler import profile

ARITHMETIC: Final = (
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "mkldnn_convolution",
    "mkldnn_linear",
    "_mkldnn_linear",
    "convolution",
    "_convolution",
    "thnn_conv2d",
    "_slow_conv2d_forward",
    "cudnn_convolution",
    "_int_mm",
    "_scaled_mm",
)
"""Operations whose time counts as arithmetic: matrix products and convolutions."""
# fmt: off
VIEWS: Final = frozenset((
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "empty", "empty_like",
    "empty_strided", "expand", "flatten", "lift_fresh", "narrow", "permute", "reshape", "resolve_conj",
    "resolve_neg", "result_type", "select", "slice", "split", "squeeze", "t", "transpose", "unbind",
    "unfold", "unsqueeze", "view",
))
# fmt: on
"""Operations that touch no value, and are not counted."""
GRAPH: Final = "compiled graph"
_COMPILED: Final = "## Call CompiledFxGraph"
"""How torch's profiler names a compiled graph; matrix products that it calls are told apart from it."""
LAUNCHERS: Final = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaGraphLaunch")
PROBE_CALLS: Final = 200
_TOP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of operation in one call."""

    name: str
    count: int
    """Those that other operations call included."""
    seconds: float
    """Of its own, on the device where it computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """All of one call."""

    launches: int
    """Kernels (CUDA), or operations that the program starts and that touch values (CPU)."""
    busy_share: float
    """Part of the call's time in kernels (CUDA) or operations (CPU)."""
    arithmetic_share: float
    """Part of that time in matrix products and convolutions."""
    flops: float
    """Matrix products, convolutions, sums and products, as the profiler counts them; 0 where it knows none."""
    top: tuple[Operation, ...]
    """Those that take longest."""


def count_operations(compute: Callable[[], object], *, device: str, calls: int = 7) -> Operations:
    """Of the fastest of `calls` calls, each profiled alone after one that is not: the others hold what else the machine did."""
    compute()
    on_cuda = device.startswith("cuda")
    profiled: list[tuple[float, list[Any]]] = []
    for _ in range(calls):
        with profile(use_device="cuda" if on_cuda else None, with_flops=True, use_kineto=True) as found:
            began = time.perf_counter()
            compute()
            if on_cuda:
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - began
        profiled.append((seconds, list(found.function_events or [])))
    seconds, events = min(profiled, key=lambda one: one[0])
    return _summarised(events, seconds, on_cuda=on_cuda)


def _summarised(events: Sequence[Any], call_seconds: float, *, on_cuda: bool) -> Operations:
    counts: Counter[str] = Counter()
    microseconds: Counter[str] = Counter()
    started = 0
    for event in events:
        name = _name(event)
        if name is None:
            continue
        counts[name] += 1
        # What another operation calls was not started by the program.
        started += not _within_operation(event)
        microseconds[name] += event.self_device_time_total if on_cuda else event.self_cpu_time_total
    total = sum(microseconds.values())
    arithmetic = sum(microseconds[name] for name in ARITHMETIC)
    return Operations(
        launches=sum(event.name in LAUNCHERS for event in events) if on_cuda else started,
        busy_share=min(1.0, total / 1e6 / call_seconds),
        arithmetic_share=arithmetic / total if total else 0.0,
        flops=sum(event.flops or 0 for event in events),
        top=tuple(
            Operation(name=name, count=counts[name], seconds=value / 1e6)
            for name, value in microseconds.most_common(_TOP)
        ),
    )


def peak_bytes(compute: Callable[[], object]) -> int:
    """Memory of torch on the CPU that a call of `compute` takes at most, beyond what was in use: counted, not sampled."""
    compute()
    with profile(profile_memory=True, use_kineto=True) as found:
        compute()
    results: Any = found.kineto_results
    changes = [event for event in results.events() if event.name() == "[memory]"] if results else []
    used = peak = 0
    for event in sorted(changes, key=lambda one: one.start_ns()):
        used += event.nbytes()
        peak = max(peak, used)
    return peak


def launch_seconds(device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """What starting an operation on one value costs here, measured; the least of several tries."""
    one = torch.ones(1, device=device)

    def spend() -> float:
        began = clock()
        for _ in range(PROBE_CALLS):
            torch.add(one, one)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return (clock() - began) / PROBE_CALLS

    spend()
    return min(spend() for _ in range(5))


def _name(event: Any) -> str | None:
    """None for what is no operation, and for those that touch no value."""
    if event.name.startswith(_COMPILED):
        return GRAPH
    name = event.name.removeprefix("aten::")
    return None if name == event.name or name in VIEWS else name


def _within_operation(event: Any) -> bool:
    parent = event.cpu_parent
    return parent is not None and parent.name.startswith("aten::")
