"""What the library's models do to logits behind the layer that makes them. Used by `text.hugging_face`, worker only.

They do it in the whole model's `forward`, which we do not call: it makes logits of positions that nobody wants. Three keys of config.json
say it, and architectures read them in ways of their own or not at all: which one is found out by what the whole model computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LogitRule:
    """What is done to a layer's scores."""

    factor: float = 1.0
    """Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`."""
    cap: float = 0.0
    """Gemma 2: they stay between -cap and cap (`final_logit_softcapping`); 0 = anywhere."""

    def __call__(self, scores: Tensor) -> Tensor:
        """[..., vocabulary] in float32, computed in the type of `scores`, as the library does."""
        if self.factor != 1.0:
            scores = scores * self.factor
        if self.cap:
            scores = torch.tanh(scores / self.cap) * self.cap
        return scores.float()


def closest_rule(config: Any, scores: Tensor, expected: Tensor) -> LogitRule:
    """Of all that `config` may mean, what makes of `scores` what is nearest to `expected`, the whole model's logits.

    By the tolerance of rounding alone it could not be told in bfloat16 whether a factor of 0.9 is read or not.
    """
    cap = _number(config, "final_logit_softcapping", 0.0)
    scale, divisor = _number(config, "logit_scale", 1.0), _number(config, "logits_scaling", 1.0)
    # The key as the architecture that it is of reads it, not at all, and, as HyperCLOVA X does, the other way round.
    factors = dict.fromkeys((scale / divisor, 1.0, scale, 1 / divisor, divisor, 1 / scale))
    rules = [LogitRule(factor, one) for one in dict.fromkeys((cap, 0.0)) for factor in factors]
    return min(rules, key=lambda rule: float((rule(scores) - expected).abs().max()))


def _number(config: Any, name: str, otherwise: float) -> float:
    found = getattr(config, name, None)
    return float(found) if isinstance(found, int | float) and found else otherwise
