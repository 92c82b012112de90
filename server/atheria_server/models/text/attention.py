"""Which of torch's kernels computes attention: one rule over what a pass is like, and the context that obeys it.

Called around `CausalModel.forward`. What the rule follows is measured by `python -m bench.attention`
(docs/benchmarks/attention.md): fused kernels never write the matrix of all queries by all keys, which at 4096 tokens is over 50
times the memory; in short sequences there is nothing to save.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


class AttentionKernel(StrEnum):
    """What may be asked for."""

    AUTOMATIC = "automatic"
    """torch chooses; costs nothing to ask for."""
    STANDARD = "standard"
    """All scores in memory."""
    FLASH = "flash"
    """Scores in tiles."""
    EFFICIENT = "efficient"
    """Scores in tiles, with any mask; CUDA only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRule:
    """When to insist on which kernel. Raises ValueError."""

    fused_from_tokens: int = 512
    """From so many keys on, a kernel that keeps no matrix of scores."""
    below: AttentionKernel = AttentionKernel.AUTOMATIC
    """For fewer keys. `standard` was as fast or faster there with older versions of torch, and is not with 2.15."""

    def __post_init__(self) -> None:
        if self.fused_from_tokens < 0:
            raise ValueError(f"fused_from_tokens is {self.fused_from_tokens}; allowed is 0 or more")
        if self.below not in (AttentionKernel.AUTOMATIC, AttentionKernel.STANDARD):
            raise ValueError(
                f"below is {self.below}; allowed are {AttentionKernel.AUTOMATIC} and {AttentionKernel.STANDARD}: "
                "for fused kernels at any length set fused_from_tokens to 0"
            )


_FALLBACKS: Final = {
    # A kernel that cannot take the tensors (their type, grouped heads) must not fail the call; the next one computes the same.
    AttentionKernel.STANDARD: [SDPBackend.MATH],
    AttentionKernel.FLASH: [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    AttentionKernel.EFFICIENT: [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}
DEFAULT_RULE: Final = AttentionRule()
_NEVER_TOKENS: Final = 1 << 62
_RULES: Final = {
    "automatic": DEFAULT_RULE,
    "standard": AttentionRule(fused_from_tokens=_NEVER_TOKENS, below=AttentionKernel.STANDARD),
    "flash": AttentionRule(fused_from_tokens=0),
}
"""By a word of `core.attention_choice`."""


def rule_of(wanted: str) -> AttentionRule:
    """For what a person asked for: one of `core.attention_choice.CHOICES`. Raises KeyError."""
    return _RULES[wanted]


def can_flash(device: str, dtype: torch.dtype, head_size: int) -> bool:
    """Whether torch's flash kernel takes heads of this type and size there: tried on two tokens."""
    try:
        heads = torch.zeros(1, 1, 2, head_size, dtype=dtype, device=device)
        # Where it cannot, torch warns of each reason, and raises.
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            warnings.simplefilter("ignore")
            scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    except RuntimeError:
        return False
    return True


def choose_kernel(
    *, keys: int, masked: bool, device: str, rule: AttentionRule = DEFAULT_RULE
) -> AttentionKernel:
    """For one pass: `keys` = tokens of its longest row, `masked` = with an explicit mask, `device` = type of the device.

    torch's flash kernel takes a mask on a CPU and none on CUDA.
    """
    if keys < rule.fused_from_tokens:
        return rule.below
    return AttentionKernel.EFFICIENT if masked and device != "cpu" else AttentionKernel.FLASH


@contextmanager
def attending_by(kernel: AttentionKernel) -> Iterator[None]:
    """Inside, `scaled_dot_product_attention` uses `kernel`, or where that cannot, the next one that can."""
    if kernel is AttentionKernel.AUTOMATIC:
        yield
        return
    with sdpa_kernel(_FALLBACKS[kernel], set_priority=True):
        yield
