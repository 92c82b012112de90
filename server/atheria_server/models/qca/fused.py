"""The step as compilers like it: all rows at once, one long row of cells per channel, several steps in one graph.

Equal to `Law.step` but for rounding (1 - F below 1e-6 against float64). States go through it as [2d, B, H, W]: everything
elementwise then reads memory in order, and a law's layers are one matrix product over all cells. Shifts are cut and put
together again, for an index that wraps around keeps a compiler for CPUs from using its vector instructions. Together that
is 1.7 times as fast for `nca` as the compiled `Law.step`. Called by `QcaApi.compile_with` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from atheria_server.models.optimizable import Compile
from atheria_server.models.qca import signature
from atheria_server.models.qca.laws import Law, NcaLaw, UnetLaw
from atheria_server.models.qca.step import density, mix, rotate_phase

Advance = Callable[[Tensor, int], Tensor]


def compiled_advance(law: Law, compiler: Compile) -> Advance:
    """Makes [B, 2d, H, W] so many steps older, without noise, by few calls of few graphs."""
    step = _channels_first(law) if isinstance(law, NcaLaw) else law.step
    # In a compiled graph a loop over rows would be unrolled.
    law.rows_alone = False
    transposed = isinstance(law, NcaLaw)

    def several(state: Tensor, steps: int) -> Tensor:
        if transposed:
            state = state.transpose(0, 1).contiguous()
        for _ in range(steps):
            state = step(state)
        return (state.transpose(0, 1) if transposed else state).flatten()

    graph = compiler(several, name="qca.advance")
    # A step of `unet` takes so long that a call more is nothing, and as many times as long to compile as it has steps.
    sizes = (1,) if isinstance(law, UnetLaw) else signature.STEPS_PER_GRAPH

    def advance(state: Tensor, steps: int) -> Tensor:
        shape = state.shape
        for count in graphs_of(steps, sizes):
            # Strides of a dimension of 1 are free, and other ones would need a graph of their own: these are always equal.
            state = graph(state, count).view(shape)
        return state

    return advance


def graphs_of(steps: int, sizes: Sequence[int]) -> Iterable[int]:
    """Members of the descending `sizes`, 1 among them, whose sum is `steps`."""
    for count in sizes:
        yield from [count] * (steps // count)
        steps %= count


def _channels_first(law: NcaLaw) -> Callable[[Tensor], Tensor]:
    def step(state: Tensor) -> Tensor:
        """[2d, B, H, W] one step later."""
        theta = _theta(law, state)
        phase, mixing = math.pi * theta[: law.channels], math.pi / 2 * theta[law.channels :]
        # The functions of `step` want channels second, and care for no other dimension.
        real, imaginary = mix(*rotate_phase(state[None], phase[None]), mixing[None])
        return torch.cat([*_transported(real[0]), *_transported(imaginary[0])])

    return step


def _theta(law: NcaLaw, state: Tensor) -> Tensor:
    """The network's values [2d, B, H, W]."""
    cells = _perceive(torch.cat([state, density(state[None])])).flatten(1)
    for layer in law.hidden:
        cells = functional.silu(_layer(layer, cells))
    return _layer(law.out, cells).view(-1, *state.shape[1:]).to(state.dtype)


def _layer(layer: nn.Module, cells: Tensor) -> Tensor:
    """[features, cells] through a layer for [cells, features]; what replaced a Linear is called as it is."""
    if type(layer) is nn.Linear and layer.weight.dtype == cells.dtype:
        return torch.addmm(layer.bias[:, None], layer.weight, cells)
    values: Tensor = layer(cells.t())
    return values.t()


def _perceive(features: Tensor) -> Tensor:
    """`perceptron.perceive` for [C, B, H, W]."""
    west, east = _shifted(features, 1, 3), _shifted(features, -1, 3)
    across, along = east - west, east + west + 2 * features
    north, south = _shifted(along, 1, 2), _shifted(along, -1, 2)
    sobel_x = (_shifted(across, 1, 2) + _shifted(across, -1, 2) + 2 * across) / 8
    sobel_y = (south - north) / 8
    laplacian = (north + south + 2 * along) / 16 - features
    return torch.cat([features, sobel_x, sobel_y, laplacian])


def _transported(part: Tensor) -> list[Tensor]:
    """`step.transported` for [d, B, H, W]."""
    group = part.shape[0] // 8
    right, left, down, up, still = torch.split(part, [group, group, group, group, 4 * group])
    return [_shifted(right, 1, 3), _shifted(left, -1, 3), _shifted(down, 1, 2), _shifted(up, -1, 2), still]


def _shifted(cells: Tensor, by: int, axis: int) -> Tensor:
    """torch.roll by 1 or -1."""
    length = cells.shape[axis]
    at = length - 1 if by == 1 else 1
    return torch.cat([cells.narrow(axis, at, length - at), cells.narrow(axis, 0, at)], axis)
