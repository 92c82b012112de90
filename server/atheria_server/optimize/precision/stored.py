"""Layers that keep their weights in fewer bytes and take and give tensors of any type, so that the rest of a model,
its state above all, stays as precise as it was. Made by `apply`, called by the model in place of its own layers.
"""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

INT8_MAX: Final = 127
_SMALLEST: Final = 1e-12
"""A scale for rows of zeros."""


class Narrow(nn.Module):
    """A layer that multiplies in bf16 or fp16."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        """Copies `layer`, whose parameters may be shared."""
        super().__init__()
        self.layer = copy.deepcopy(layer).to(dtype)
        self.dtype = dtype

    def forward(self, values: Tensor) -> Tensor:
        """As the layer's, in the type of `values`."""
        result: Tensor = self.layer(values.to(self.dtype))
        return result.to(values.dtype)


class StoredWeights(nn.Module):
    """A Linear or convolution whose weights are kept in a smaller type and expanded at each use."""

    stored: Tensor
    scale: Tensor | None

    def __init__(
        self,
        layer: nn.Linear | nn.modules.conv._ConvNd,
        stored: Tensor,
        scale: Tensor | None,
        compute: torch.dtype,
    ) -> None:
        """`stored` of the weights' shape, times `scale` if there is one; `compute` is the type of the product."""
        super().__init__()
        self.register_buffer("stored", stored)
        self.register_buffer("scale", scale)
        self.shell = _without_weight(layer).to(compute)
        self.compute = compute

    def forward(self, values: Tensor) -> Tensor:
        """As the layer's, in the type of `values`."""
        weight = self.stored if self.scale is None else self.stored * self.scale
        weight = weight.to(self.compute)
        taken = values.to(self.compute)
        if isinstance(self.shell, nn.Linear):
            result = functional.linear(taken, weight, self.shell.bias)
        else:
            # The only way to give a convolution other weights that keeps its padding mode.
            result = self.shell._conv_forward(taken, weight, self.shell.bias)  # type: ignore[operator]  # noqa: SLF001
        return result.to(values.dtype)


class Int8Linear(nn.Module):
    """A Linear that multiplies int8 activations by int8 weights.

    `steps` [in_features or 1] is what one unit of a rounded activation is worth, learnt beforehand; None = by the
    largest value of each row at each use. With one step for each input, the weights hold the rest of it (SmoothQuant).
    Needs bitsandbytes to have been loaded, whose matrix product it is.
    """

    rounded: Tensor
    scale: Tensor
    bias: Tensor | None
    steps: Tensor | None

    def __init__(self, layer: nn.Linear, steps: Tensor | None) -> None:
        super().__init__()
        weight = layer.weight.detach()
        if steps is not None:
            weight = weight * steps
        rounded, scale = rounded_weights(weight)
        self.register_buffer("rounded", rounded)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float())
        self.register_buffer("steps", steps)

    def forward(self, values: Tensor) -> Tensor:
        """As the layer's, in the type of `values`."""
        taken = values.float()
        steps, by_row = self.steps, None
        if steps is None:
            by_row = taken.abs().amax(-1, keepdim=True).clamp_min(_SMALLEST) / INT8_MAX
            steps = by_row
        whole = torch.round(taken / steps).clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
        sums = torch.ops.bitsandbytes.int8_linear_matmul(
            whole.reshape(-1, whole.shape[-1]).contiguous(), self.rounded
        )
        result = sums.reshape(*values.shape[:-1], -1) * self.scale
        if by_row is not None:
            result = result * by_row
        if self.bias is not None:
            result = result + self.bias
        answer: Tensor = result.to(values.dtype)
        return answer


def rounded_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [out, ...] as int8 and the float32 scale of each output [out, 1, ...]."""
    inner = tuple(range(1, weight.dim()))
    scale = weight.float().abs().amax(inner, keepdim=True).clamp_min(_SMALLEST) / INT8_MAX
    return torch.round(weight.float() / scale).to(torch.int8), scale


def _without_weight(layer: nn.Module) -> nn.Module:
    # Not deepcopy of the whole: the weights would exist twice for a moment.
    weight, layer._parameters["weight"] = layer._parameters["weight"], None  # noqa: SLF001
    try:
        return copy.deepcopy(layer)
    finally:
        layer._parameters["weight"] = weight  # noqa: SLF001
