"""Dephasing noise as a quantum trajectory: every cell turns by its own normal angle at every step.

The angles come from an integer hash of (request seed, step, cell) and never from a generator with state, so a
trajectory does not depend on the batch it was computed in or on how often it was resumed. Averaged over seeds this
is the dephasing channel: the coherence of two cells decays by exp(-sigma^2) per step.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from atheria_server.models.qca.step import rotate_phase

_MASK32: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x45D9F3B
_GOLDEN: Final = 0x9E3779B1
_STEP_SALT: Final = 0x85EBCA6B


def standard_normal(seed: int, step: int, height: int, width: int) -> Tensor:
    """Standard normal values, float64 [height, width], the same for equal (seed, step) on every call."""
    key = _hash_number((seed ^ (seed >> 32)) & _MASK32)
    key = _hash_number((key * _GOLDEN + step * _STEP_SALT) & _MASK32)
    cells = torch.arange(height * width, dtype=torch.int64)
    # Hashed before the key is added too: otherwise two near keys would give shifted copies of one pattern.
    uniform = [
        (_hash_tensor((_hash_tensor(2 * cells + i) + key) & _MASK32).double() + 0.5) / 2**32 for i in (0, 1)
    ]
    normal = torch.sqrt(-2 * torch.log(uniform[0])) * torch.cos(2 * math.pi * uniform[1])
    return normal.view(height, width)


def dephase(state: Tensor, seeds: list[int], sigmas: list[float], step: int) -> Tensor:
    """exp(i sigma xi) psi for each row of [B, 2d, H, W]; rows with sigma 0 are returned untouched."""
    if not any(sigmas):
        return state
    height, width = state.shape[-2:]
    rows = []
    for row, seed, sigma in zip(torch.split(state, 1), seeds, sigmas, strict=True):
        if sigma == 0:
            rows.append(row)
            continue
        angle = (sigma * standard_normal(seed, step, height, width)).to(row.device, row.dtype)
        rows.append(torch.cat(rotate_phase(row, angle[None, None]), 1))
    return torch.cat(rows)


def _hash_number(value: int) -> int:
    value = ((value ^ (value >> 16)) * _MULTIPLIER) & _MASK32
    value = ((value ^ (value >> 16)) * _MULTIPLIER) & _MASK32
    return value ^ (value >> 16)


def _hash_tensor(value: Tensor) -> Tensor:
    value = ((value ^ (value >> 16)) * _MULTIPLIER) & _MASK32
    value = ((value ^ (value >> 16)) * _MULTIPLIER) & _MASK32
    return value ^ (value >> 16)
