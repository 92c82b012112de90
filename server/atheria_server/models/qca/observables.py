"""What a person looks at in a state: density, phase, and five numbers that say how much structure there is.

All are computed row by row, so a row's numbers do not depend on its batch; the metrics are float64 sums. Called by
the API for the requested outputs, by `train` for its report, and by tests.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from atheria_server.models.qca.step import density

STRUCTURE_BLOCK: Final = 4
"""Side in cells of the blocks whose mean densities c4 compares."""


def phase(state: Tensor) -> Tensor:
    """Argument of the sum over channels of psi_c, radians in [-pi, pi]: [B, 2d, H, W] -> [B, H, W]."""
    channels = state.shape[1] // 2
    return torch.cat(
        [
            torch.atan2(row[:, channels:].sum(1), row[:, :channels].sum(1))
            for row in torch.split(state.contiguous(), 1)
        ]
    )


def picture(rho: Tensor, angle: Tensor) -> Tensor:
    """Density and phase [B, H, W] as bytes for a canvas: UINT8 [B, 2, H, W].

    Plane 0 is round(255 rho / (rho + mean of rho)): 0 for nothing, 128 for the mean density, and no peak is cut off.
    Plane 1 is the phase modulo 2 pi in 256 equal parts, part 0 beginning at 0. A density of zeros has 0 everywhere.
    """
    mean = torch.stack([row.mean() for row in rho])[:, None, None]
    share = torch.where(mean > 0, rho / (rho + mean), torch.zeros_like(rho))
    turns = torch.floor(torch.remainder(angle / (2 * math.pi), 1) * 256).clamp(max=255)
    return torch.stack([torch.round(255 * share), turns], 1).to(torch.uint8)


def metrics(state: Tensor) -> Tensor:
    """The columns `signature.METRICS`, float64 [B, 5] on the CPU.

    entropy: -sum p ln p / ln(H W) of p = density / its sum, 1 for a uniform density.
    c4: variance of the density's means over 4 x 4 blocks, by the mean density squared (structure).
    contrast: variance of the density by the mean density squared.
    coherence: half the sum over both axes of |<psi | psi shifted by one cell>| / <psi | psi>.
    norm: mean density; it never changes. A state of zeros has 0 in every column.
    """
    return torch.stack(
        [_row_metrics(row) for row in torch.split(state.detach().cpu().double().contiguous(), 1)]
    )


def _row_metrics(row: Tensor) -> Tensor:
    rho = density(row)
    mean = rho.mean()
    if mean == 0:
        return torch.zeros(5, dtype=torch.float64)
    share = rho / rho.sum()
    entropy = -torch.xlogy(share, share).sum() / math.log(rho.numel())
    c4 = functional.avg_pool2d(rho, STRUCTURE_BLOCK).var(correction=0) / mean**2
    contrast = rho.var(correction=0) / mean**2
    coherence = (_overlap_with_shifted(row, 2) + _overlap_with_shifted(row, 3)) / (2 * rho.sum())
    return torch.stack([entropy, c4, contrast, coherence, mean])


def _overlap_with_shifted(row: Tensor, axis: int) -> Tensor:
    channels = row.shape[1] // 2
    shifted = torch.roll(row, -1, axis)
    real, imaginary = row[:, :channels], row[:, channels:]
    shifted_real, shifted_imaginary = shifted[:, :channels], shifted[:, channels:]
    return torch.hypot(
        (real * shifted_real + imaginary * shifted_imaginary).sum(),
        (real * shifted_imaginary - imaginary * shifted_real).sum(),
    )
