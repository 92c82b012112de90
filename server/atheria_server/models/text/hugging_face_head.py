"""What the library's models do to logits behind the layer that makes them. Used by `text.hugging_face`, worker only.

They do it in the whole model's `forward`, which we do not call: it makes logits of positions that nobody wants. Three keys of config.json
say it; what a model does beside them is found by `HuggingFaceNetwork.prove`, which refuses it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Head:
    """Logits of hidden states."""

    def __init__(self, layer: nn.Module, config: Any) -> None:
        """`layer` makes logits [..., vocabulary] of hidden states [..., width]."""
        self._layer = layer
        # Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`.
        self._factor = _number(config, "logit_scale", 1.0) / _number(config, "logits_scaling", 1.0)
        self._cap = _number(config, "final_logit_softcapping", 0.0)
        """Gemma 2: logits stay between -cap and cap; 0 = anywhere."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """[..., vocabulary] in float32; computed in the layer's type, as the library does."""
        scores: Tensor = self._layer(hidden)
        if self._factor != 1.0:
            scores = scores * self._factor
        if self._cap:
            scores = torch.tanh(scores / self._cap) * self._cap
        return scores.float()


def _number(config: Any, name: str, otherwise: float) -> float:
    found = getattr(config, name, None)
    return float(found) if isinstance(found, int | float) and found else otherwise
