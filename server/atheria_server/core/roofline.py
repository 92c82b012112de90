"""What a device could do at best: time of a step = max(compute, memory, launches). Pure.

Its figures are `modelled`: a bound from a data sheet, not a measurement. Used by `economics` for devices that are not
here, and by `profile` to say what bounds a step. Devices come from a file with sources (see `optimize.evaluation.tables`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

Bound = Literal["compute", "memory", "launches"]
LAUNCH_SECONDS: Final = 5e-6
"""Of one kernel from an eager program; an assumption, not measured."""
EAGER_LAUNCHES: Final = 40
"""Kernels of one eager step of the qca laws; an assumption, not measured."""
GRAPH_LAUNCHES: Final = 10
"""Kernels of the same step, compiled; an assumption, not measured."""
GRAPH_LAUNCH_SECONDS: Final = 1e-6
"""Of one kernel inside a CUDA graph; an assumption, not measured."""
BYTES_BF16: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a data sheet says of a device."""

    name: str
    tflops: float
    """Dense bf16."""
    gigabytes_per_second: float
    memory_gigabytes: float
    source: str

    @property
    def flops(self) -> float:
        """Per second."""
        return self.tflops * 1e12

    @property
    def bytes_per_second(self) -> float:
        """Of its memory."""
        return self.gigabytes_per_second * 1e9

    @property
    def ridge(self) -> float:
        """FLOP per byte from which on the arithmetic and not the memory is the limit."""
        return self.flops / self.bytes_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one step of one row takes, whatever computes it."""

    flops: float
    activation_bytes: float
    """Each activation written once and read once."""
    weight_bytes: float
    """Read once a batch."""
    launches: int = EAGER_LAUNCHES
    """Kernels, for any number of rows."""
    launch_seconds: float = LAUNCH_SECONDS
    """To start one."""

    @property
    def intensity(self) -> float:
        """FLOP per byte of the activations."""
        return self.flops / self.activation_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Three lower bounds of a step's time, in seconds; the largest holds."""

    compute: float
    memory: float
    launches: float

    @property
    def seconds(self) -> float:
        """Of the step."""
        return max(self.compute, self.memory, self.launches)

    @property
    def bound(self) -> Bound:
        """Which of them it is."""
        if self.launches >= max(self.compute, self.memory):
            return "launches"
        return "compute" if self.compute >= self.memory else "memory"


def step_time(work: Work, device: Device, rows: int = 1) -> StepTime:
    """Of one step of a batch of `rows`."""
    return StepTime(
        compute=rows * work.flops / device.flops,
        memory=(rows * work.activation_bytes + work.weight_bytes) / device.bytes_per_second,
        launches=work.launches * work.launch_seconds,
    )


def as_graph(work: Work) -> Work:
    """The same, compiled and started as one CUDA graph."""
    return replace(work, launches=GRAPH_LAUNCHES, launch_seconds=GRAPH_LAUNCH_SECONDS)


def fits(work: Work, device: Device, rows: int) -> bool:
    """Whether the weights and all activations of a step, were they kept at once, fit into the memory."""
    return rows * work.activation_bytes + work.weight_bytes <= device.memory_gigabytes * 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A linear layer or a convolution, on a grid that is `stride` times coarser than the state's on each axis."""

    inputs: int
    outputs: int
    taps: int = 1
    """Cells that a filter covers: 1 for a linear layer, 9 for 3x3."""
    stride: int = 1


def law_work(
    layers: Sequence[Layer], *, channels: int, side: int, perception_filters: int = 0, copied: float = 0.0
) -> Work:
    """Of one step of a qca law with these layers over d = `channels` on `side` x `side` cells, in bf16.

    FLOPs: 2 per weight and cell, the bias, the fixed 3x3 perception, and the exact step (density, phase, mixing).
    Activations: the state, each layer's output, `copied` values a cell that are only moved (upsampled, joined), and the
    state after phase, mixing and transport; what stands between (SiLU, pooling) counts as fused.
    """
    cells = side * side
    state = 2 * channels
    perceived = perception_filters * (state + 1)
    flops = float(2 * 9 * perceived + _step_flops(channels))
    values = 4.0 * state + perceived + copied
    weights = 0
    for layer in layers:
        share = 1 / layer.stride**2
        count = layer.inputs * layer.outputs * layer.taps
        flops += share * (2 * count + layer.outputs)
        values += share * layer.outputs
        weights += count + layer.outputs
    return Work(
        flops=cells * flops,
        activation_bytes=2 * BYTES_BF16 * cells * values,
        weight_bytes=BYTES_BF16 * weights,
    )


def nca_work(*, channels: int, hidden: int, depth: int, side: int) -> Work:
    """Of a step of `nca` on a square grid of `side` cells."""
    widths = [4 * (2 * channels + 1), *([hidden] * depth), 2 * channels]
    layers = [Layer(inputs=a, outputs=b) for a, b in itertools.pairwise(widths)]
    return law_work(layers, channels=channels, side=side, perception_filters=4)


def unet_work(*, channels: int, hidden: int, side: int) -> Work:
    """Of a step of `unet`: pairs of 3x3 convolutions on the grid, its half and its quarter, and back up."""
    c = hidden
    pairs = [(2 * channels + 1, c, 1), (c, 2 * c, 2), (2 * c, 4 * c, 4), (4 * c, 2 * c, 2), (2 * c, c, 1)]
    layers = [
        Layer(inputs=inputs, outputs=outputs, taps=9, stride=stride)
        for first, outputs, stride in pairs
        for inputs in (first, outputs)
    ]
    layers += [
        Layer(inputs=4 * c, outputs=2 * c, stride=4),
        Layer(inputs=2 * c, outputs=c, stride=2),
        Layer(inputs=c, outputs=2 * channels),
    ]
    # Twice on the way up: the upsampled half of the channels, and both halves joined.
    return law_work(layers, channels=channels, side=side, copied=(2 * c + 4 * c) / 4 + c + 2 * c)


def _step_flops(channels: int) -> int:
    """Density 4d, phase 6d, two rounds of mixing 6d each: multiplications and additions of one cell."""
    return (4 + 6 + 12) * channels


PRESETS: Final = {
    "tiny": nca_work(channels=8, hidden=64, depth=2, side=64),
    "tiny-256": nca_work(channels=8, hidden=64, depth=2, side=256),
    "small": unet_work(channels=8, hidden=32, side=64),
    "base": unet_work(channels=8, hidden=64, side=256),
    "large": unet_work(channels=16, hidden=256, side=256),
    "xl": nca_work(channels=16, hidden=4096, depth=4, side=256),
}
"""Sizes of the qca model."""
