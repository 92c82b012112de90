"""Blocks of keys or values in fewer bits and back: what is stored, and how far it may be off. Used by `packed_step`.

Codes of less than a byte are packed along the channels. Scales and zero points are float16, rounded so that the range they span
holds every value: no element is off by more than half a step (`step` of its scale), but for float rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from atheria_server.core.cache_precision import BITS, CachePrecision, CacheSettings
from atheria_server.models.text.cache.blocks import Plane
from atheria_server.models.text.causal import CacheShape

_UP: Final = 1 + 2**-10
"""float16 is off by at most 2**-11: after this factor, rounding cannot end below."""
_SMALLEST_STEP: Final = 2.0**-14
"""The smallest normal float16; below, rounding is coarser."""
_LARGEST: Final = 60_000.0
"""Below float16's largest; keys or values beyond are cut off."""


class Scheme(Protocol):
    """How one block [kv_heads, tokens, head_size] is stored."""

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Tensors of a block; `pack` and `unpack` have them in this order."""

    def pack(self, block: Tensor) -> tuple[Tensor, ...]:
        """Of blocks [n, kv_heads, tokens, head_size], all finite: one tensor [n, kv_heads, *tail] per plane."""

    def unpack(self, stored: tuple[Tensor, ...], out: Tensor) -> None:
        """Write blocks [..., tokens, head_size] into `out`, from planes [..., *tail]."""


def schemes(shape: CacheShape, settings: CacheSettings) -> tuple[Scheme, Scheme]:
    """Of keys and of values. Raises ValueError if head size and settings do not go together, or nothing is compressed."""
    bits, tokens, size = BITS.get(settings.precision), settings.group_tokens, shape.head_size
    if bits is None:
        raise ValueError(f"precision is {settings.precision}; compressed are {', '.join(BITS)}")
    if settings.precision is CachePrecision.INT8:
        return (
            PerTokenScheme(prefix="key", tokens=tokens, head_size=size),
            PerTokenScheme(prefix="value", tokens=tokens, head_size=size),
        )
    channels = min(settings.group_channels, size)
    if size % channels or size % (8 // bits):
        raise ValueError(
            f"group_channels is {settings.group_channels} at a head size of {size}; allowed are divisors of the head size, "
            f"which must be a multiple of {8 // bits} for {settings.precision}"
        )
    return (
        GroupedScheme(
            prefix="key", bits=bits, tokens=tokens, head_size=size, over_tokens=tokens, over_channels=1
        ),
        GroupedScheme(
            prefix="value", bits=bits, tokens=tokens, head_size=size, over_tokens=1, over_channels=channels
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PerTokenScheme:
    """int8, symmetric: x = code * step, a step per token and head."""

    prefix: str
    tokens: int
    head_size: int

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Codes and steps."""
        return (
            Plane(name=f"{self.prefix}_codes", tail=(self.tokens, self.head_size), dtype=torch.int8),
            Plane(name=f"{self.prefix}_steps", tail=(self.tokens, 1), dtype=torch.float16),
        )

    def pack(self, block: Tensor) -> tuple[Tensor, ...]:
        """See Scheme."""
        exact = block.float().clamp(-_LARGEST, _LARGEST)
        steps = _step(exact.abs().amax(-1, keepdim=True) / 127)
        return (exact / steps.float()).round_().clamp_(-127, 127).to(torch.int8), steps

    def unpack(self, stored: tuple[Tensor, ...], out: Tensor) -> None:
        """See Scheme."""
        codes, steps = stored
        torch.mul(codes.to(out.dtype), steps.to(out.dtype), out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedScheme:
    """int4 or int2, asymmetric: x = low + code * step for groups of tokens or of channels."""

    prefix: str
    bits: int
    tokens: int
    head_size: int
    over_tokens: int
    over_channels: int
    """One of the two is 1."""

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Codes, steps and zero points."""
        groups = (self.tokens // self.over_tokens, self.head_size // self.over_channels)
        return (
            Plane(
                name=f"{self.prefix}_codes",
                tail=(self.tokens, self.head_size * self.bits // 8),
                dtype=torch.uint8,
            ),
            Plane(name=f"{self.prefix}_steps", tail=groups, dtype=torch.float16),
            Plane(name=f"{self.prefix}_lows", tail=groups, dtype=torch.float16),
        )

    def pack(self, block: Tensor) -> tuple[Tensor, ...]:
        """See Scheme."""
        grouped = self._grouped(block.float().clamp(-_LARGEST, _LARGEST))
        lows = grouped.amin((-3, -1), keepdim=True)
        lows = (lows - lows.abs() * 2**-10 - _SMALLEST_STEP).half()
        most = 2**self.bits - 1
        steps = _step((grouped.amax((-3, -1), keepdim=True) - lows.float()) / most)
        codes = ((grouped - lows.float()) / steps.float()).round_().clamp_(0, most).to(torch.uint8)
        parts = codes.view_as(block).tensor_split(8 // self.bits, dim=-1)
        packed = parts[0].clone()
        for place, part in enumerate(parts[1:], start=1):
            packed |= part << (self.bits * place)
        return packed, steps.squeeze(-1).squeeze(-2), lows.squeeze(-1).squeeze(-2)

    def unpack(self, stored: tuple[Tensor, ...], out: Tensor) -> None:
        """See Scheme."""
        codes, steps, lows = stored
        most = 2**self.bits - 1
        for place, part in enumerate(out.tensor_split(8 // self.bits, dim=-1)):
            part.copy_((codes >> (self.bits * place)) & most)
        grouped = self._grouped(out)
        grouped.mul_(steps.to(out.dtype)[..., :, None, :, None])
        grouped.add_(lows.to(out.dtype)[..., :, None, :, None])

    def _grouped(self, block: Tensor) -> Tensor:
        """[..., groups of tokens, tokens of a group, groups of channels, channels of a group]: a view."""
        tokens, channels = self.tokens // self.over_tokens, self.head_size // self.over_channels
        return block.view(*block.shape[:-2], tokens, self.over_tokens, channels, self.over_channels)


def _step(exact: Tensor) -> Tensor:
    return exact.mul(_UP).clamp_(min=_SMALLEST_STEP).half()
