"""The models and calls that are measured: where sharing steps should help much, and where it should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

VOCABULARY: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One model and its calls."""

    name: str
    title: str
    source: Callable[[Path], str]
    """From a folder for what has to be made."""
    new_tokens: int
    inputs: Callable[[int], Mapping[str, Any]]
    """Of the call with a number; no two are alike."""
    parameters: Mapping[str, str]


def workloads() -> tuple[Workload, ...]:
    """All of them."""
    return (
        Workload(
            name="sceneline",
            title="sceneline small, 0.8 M weights: a picture, 64 tokens",
            source=lambda _: "builtin://sceneline",
            new_tokens=64,
            inputs=lambda number: {"image": _random(number).integers(0, 256, (1, 64, 64, 3), np.uint8)},
            parameters={},
        ),
        Workload(
            name="decode",
            title="Llama of 12 M weights: 8 tokens read, 32 made",
            source=lambda folder: f"file://{llama(folder)}",
            new_tokens=32,
            inputs=lambda number: {"tokens": _random(number).integers(3, VOCABULARY, (1, 8), np.int64)},
            parameters={"runtime": "text", "cache_bytes": "256Mi"},
        ),
        Workload(
            name="prefill",
            title="the same: 128 tokens read, 2 made",
            source=lambda folder: f"file://{llama(folder)}",
            new_tokens=2,
            inputs=lambda number: {"tokens": _random(number).integers(3, VOCABULARY, (1, 128), np.int64)},
            parameters={"runtime": "text", "cache_bytes": "256Mi", "prefix_cache": "false"},
        ),
    )


def llama(folder: Path) -> Path:
    """A folder with a Llama whose weights come from a seed, made once: what it says means nothing, what it takes does."""
    if not (folder / "config.json").exists():
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=512,
            eos_token_id=0,
            bos_token_id=1,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _random(number: int) -> np.random.Generator:
    return np.random.default_rng(number)
