"""One exact step of the walk: phase, mixing of neighbouring channels, transport to neighbouring cells.

Each part is a rotation or a permutation, so the norm is kept in any precision whatever the law's angles are. Only
plain elementwise operations act on the state: a row's result does not depend on the other rows of its batch.
Called by `evolution` (serving), `train` and `reference` (float64).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Angles(NamedTuple):
    """What a law decides about a state, in radians; both broadcast to [B, d, H, W]."""

    phase: Tensor
    """alpha: psi_c becomes exp(i alpha_c) psi_c."""
    mixing: Tensor
    """beta: the first d/2 mix the pairs (0,1), (2,3) ..., the others the pairs (1,2), (3,4) ... (d-1,0)."""


def density(state: Tensor) -> Tensor:
    """Sum over channels of |psi_c|^2: [B, 2d, H, W] -> [B, H, W].

    The sum is a fixed tree over channels, because a library reduction may choose its order by the batch's shape.
    """
    squares = state * state
    while squares.shape[1] % 2 == 0:
        half = squares.shape[1] // 2
        squares = squares[:, :half] + squares[:, half:]
    total = squares[:, 0]
    for channel in range(1, squares.shape[1]):
        total = total + squares[:, channel]
    return total


def exact_step(state: Tensor, angles: Angles) -> Tensor:
    """The state [B, 2d, H, W] one step later, as a new tensor of the same dtype."""
    real, imaginary = rotate_phase(state, angles.phase)
    real, imaginary = mix(real, imaginary, angles.mixing)
    return torch.cat([*transported(real), *transported(imaginary)], 1)


def rotate_phase(state: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts, each [B, d, H, W], of exp(i angle) psi."""
    channels = state.shape[1] // 2
    real, imaginary = state[:, :channels], state[:, channels:]
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine


def mix(real: Tensor, imaginary: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Both rounds of pairwise mixing a' = cos b a - i sin b b, b' = cos b b - i sin b a over the ring of channels."""
    pairs = real.shape[1] // 2
    cosine, sine = torch.cos(angle), torch.sin(angle)
    even_re, odd_re, even_im, odd_im = _mix_pairs(
        real[:, 0::2],
        real[:, 1::2],
        imaginary[:, 0::2],
        imaginary[:, 1::2],
        cosine[:, :pairs],
        sine[:, :pairs],
    )
    # The second round pairs each odd channel with the even one after it: (1,2), (3,4) ... (d-1,0).
    odd_re, next_re, odd_im, next_im = _mix_pairs(
        odd_re,
        torch.roll(even_re, -1, 1),
        odd_im,
        torch.roll(even_im, -1, 1),
        cosine[:, pairs:],
        sine[:, pairs:],
    )
    return (
        torch.stack([torch.roll(next_re, 1, 1), odd_re], 2).flatten(1, 2),
        torch.stack([torch.roll(next_im, 1, 1), odd_im], 2).flatten(1, 2),
    )


def transported(part: Tensor) -> list[Tensor]:
    """Channel groups of [B, d, H, W] after one shift: d/8 each go +x, -x, +y, -y; the upper half stays."""
    channels = part.shape[1]
    group = channels // 8
    return [
        torch.roll(part[:, :group], 1, 3),
        torch.roll(part[:, group : 2 * group], -1, 3),
        torch.roll(part[:, 2 * group : 3 * group], 1, 2),
        torch.roll(part[:, 3 * group : 4 * group], -1, 2),
        part[:, 4 * group :],
    ]


def _mix_pairs(
    a_re: Tensor, b_re: Tensor, a_im: Tensor, b_im: Tensor, cosine: Tensor, sine: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        cosine * a_re + sine * b_im,
        cosine * b_re + sine * a_im,
        cosine * a_im - sine * b_re,
        cosine * b_im - sine * a_re,
    )
