"""Learns how large the activations are that a Linear reads, from real states, and what one step of int8 is worth then.

Called by `apply` for policies with calibration. Ranges of weights need no data and are no calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from atheria_server.core.precision import PrecisionError
from atheria_server.optimize.precision.stored import INT8_MAX

PERCENTILE: Final = 99.99
"""Share of activations, in percent, within the range; those outside take its end."""
SMOOTHING: Final = 0.5
"""SmoothQuant's alpha: how much of the activations' differences between inputs moves into the weights."""
ASSUMED_RANGE: Final = 6.0
"""What `assumed` takes for every layer: six standard deviations, as if activations were normalised."""
_PER_OCTAVE: Final = 32
_OCTAVES: Final = 40
"""The histogram reaches from 2^-20 to 2^20, in bins of 2.2 %."""
_SMALLEST: Final = 1e-5


class ActivationRange:
    """Absolute values that one Linear has read."""

    def __init__(self, features: int) -> None:
        """Nothing seen yet."""
        self.channel_max = torch.zeros(features)
        self._counts = torch.zeros(_PER_OCTAVE * _OCTAVES, dtype=torch.int64)

    def observe(self, values: Tensor) -> None:
        """Take in activations [..., features]."""
        sizes = values.detach().float().abs().reshape(-1, values.shape[-1]).cpu()
        if not bool(torch.isfinite(sizes).all()):
            raise PrecisionError("calibration met activations that are not finite; check the model's weights")
        self.channel_max = torch.maximum(self.channel_max, sizes.amax(0))
        places = (torch.log2(sizes.flatten()) + _OCTAVES / 2) * _PER_OCTAVE
        bins = places.clamp(0, len(self._counts) - 1).long()
        self._counts += torch.bincount(bins, minlength=len(self._counts))

    @property
    def seen(self) -> int:
        """How many values."""
        return int(self._counts.sum())

    @property
    def largest(self) -> float:
        """Of all values."""
        return float(self.channel_max.max())

    def percentile(self, percent: float) -> float:
        """What `percent` of the values do not exceed, rounded up to the histogram's next edge."""
        reached = self._counts.cumsum(0) >= self._counts.sum() * (percent / 100)
        edge = int(reached.long().argmax()) + 1
        return float(min(self.largest, 2.0 ** (edge / _PER_OCTAVE - _OCTAVES / 2)))


def steps(method: str, layer: nn.Linear, seen: ActivationRange | None) -> Tensor | None:
    """What one unit of int8 is worth: [1], or [in_features] of SmoothQuant; None = decided at each use.

    `seen` is needed for the methods that learn.
    """
    if method == "dynamic":
        return None
    if method == "assumed":
        return _uniform(ASSUMED_RANGE, layer)
    if seen is None:
        raise ValueError(f"calibration {method} needs observed activations")
    if method == "minmax":
        return _uniform(seen.largest, layer)
    if method == "percentile":
        return _uniform(seen.percentile(PERCENTILE), layer)
    inputs = seen.channel_max.clamp_min(_SMALLEST).to(layer.weight.device)
    weights = layer.weight.detach().float().abs().amax(0).clamp_min(_SMALLEST)
    smooth = inputs**SMOOTHING / weights ** (1 - SMOOTHING)
    return smooth * (inputs / smooth).max() / INT8_MAX


@contextmanager
def observed(layers: Mapping[str, nn.Linear]) -> Iterator[Mapping[str, ActivationRange]]:
    """The ranges of what the layers read until the context ends."""
    ranges = {name: ActivationRange(layer.in_features) for name, layer in layers.items()}
    hooks = [layer.register_forward_pre_hook(_into(ranges[name])) for name, layer in layers.items()]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


def _into(seen: ActivationRange) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.observe(arguments[0])

    return hook


def _uniform(limit: float, layer: nn.Linear) -> Tensor:
    return torch.tensor([max(limit, _SMALLEST) / INT8_MAX], device=layer.weight.device)
