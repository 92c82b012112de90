"""Initial states made from a seed, one row at a time, on the CPU: the same on every device and in every batch.

All have mean density 1. Computed in float64 and rounded once at the end, so that a float64 reference may start from
the very same numbers. Called by the API for requests that carry seeds, by `train`, and by clients of `reference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atheria_server.models.qca import signature

RIPPLE_AMPLITUDE: Final = 0.3
RIPPLE_CUTOFF: Final = 0.08
"""Width of the Gaussian low-pass filter, in cycles per cell."""
PACKET_WIDTH: Final = 1 / 8
"""Standard deviation of a packet's amplitude, as a part of the grid's side."""

ComplexField = npt.NDArray[np.complex128]


def initial_state(kind: str, seeds: Sequence[int], channels: int, height: int, width: int) -> Tensor:
    """Float32 [B, 2d, H, W], one row for each seed. Raises ValueError for a kind that does not exist."""
    if kind not in _MAKERS:
        raise ValueError(f"initial state is {kind!r}; allowed: {', '.join(_MAKERS)}")
    rows = [_normalised(_MAKERS[kind](seed, channels, height, width)) for seed in seeds]
    return torch.from_numpy(
        np.stack([np.concatenate([psi.real, psi.imag]) for psi in rows]).astype(np.float32)
    )


def vacuum_ripple(seed: int, channels: int, height: int, width: int) -> ComplexField:
    """A uniform condensate with a smooth random ripple: 1 + 0.3 z, z complex Gaussian with low wave numbers only."""
    z = _gaussian(seed, channels, height, width)
    wave_y, wave_x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    low_pass = np.exp(-(wave_x**2 + wave_y**2) / (2 * RIPPLE_CUTOFF**2))
    z = np.fft.ifft2(np.fft.fft2(z) * low_pass)
    ripple: ComplexField = 1 + RIPPLE_AMPLITUDE * z / np.sqrt(np.mean(np.abs(z) ** 2))
    return ripple


def noise(seed: int, channels: int, height: int, width: int) -> ComplexField:
    """Independent complex Gaussian values: no structure at any scale."""
    return _gaussian(seed, channels, height, width)


def packet(seed: int, channels: int, height: int, width: int) -> ComplexField:
    """One Gaussian lump in all channels, with centre and wave number drawn from the seed; smooth on the torus."""
    generator = torch.Generator().manual_seed(seed)
    centre_y, centre_x, wave_y, wave_x = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    y, x = np.arange(height)[:, None] / height, np.arange(width)[None, :] / width
    distance_squared = (1 - np.cos(2 * np.pi * (y - centre_y))) + (1 - np.cos(2 * np.pi * (x - centre_x)))
    envelope = np.exp(-distance_squared / (2 * (2 * np.pi * PACKET_WIDTH) ** 2))
    # Whole numbers of waves on each axis, between -2 and 2, so that the torus has no seam.
    carrier = np.exp(2j * np.pi * (math.floor(5 * wave_y - 2) * y + math.floor(5 * wave_x - 2) * x))
    lump: ComplexField = np.broadcast_to(envelope * carrier, (channels, height, width)).copy()
    return lump


def _gaussian(seed: int, channels: int, height: int, width: int) -> ComplexField:
    generator = torch.Generator().manual_seed(seed)
    real, imaginary = torch.randn(
        2, channels, height, width, generator=generator, dtype=torch.float64
    ).numpy()
    z: ComplexField = real + 1j * imaginary
    return z


def _normalised(psi: ComplexField) -> ComplexField:
    mean_density = np.sum(np.abs(psi) ** 2) / (psi.shape[1] * psi.shape[2])
    unit: ComplexField = psi / np.sqrt(mean_density)
    return unit


_MAKERS: Final[dict[str, Callable[[int, int, int, int], ComplexField]]] = {
    signature.INITIAL_VACUUM_RIPPLE: vacuum_ripple,
    signature.INITIAL_NOISE: noise,
    signature.INITIAL_PACKET: packet,
}
