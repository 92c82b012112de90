"""Bytes of a cache by length and precision, counted; seconds of a step; drift of the shipped `sceneline`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from atheria_server.core.cache_error_budget import CacheDrift
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.drift import GoldenSequence, measure_drift
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.causal import CacheShape
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.vocabulary import PAD
from atheria_server.models.text.sceneline.weights import load_network

LENGTHS: Final = (256, 512, 1024, 2048, 4096)
LAYERS: Final = 2
KV_HEADS: Final = 8
HEAD_SIZE: Final = 64
_STEPS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFigures:
    """One sequence in one pool."""

    settings: CacheSettings
    base: str
    """Type of uncompressed numbers."""
    tokens: int
    allocated_bytes: int
    full_bytes: int
    """Of the same sequence in full precision of the same base."""
    step_seconds: float
    """Of a layer's work for one more token, median; restoring included, attention not."""

    @property
    def ratio(self) -> float:
        """How many times the bytes go into those of full precision."""
        return self.full_bytes / self.allocated_bytes


def measure_bytes(settings: CacheSettings, dtype: torch.dtype, tokens: int) -> CacheFigures:
    """Fill a pool with one sequence, count the storages behind its tensors, then let it grow by some tokens."""
    torch.set_num_threads(1)
    full = _filled(CacheSettings(), dtype, tokens)[0].allocated_bytes
    pool, step_seconds = _filled(settings, dtype, tokens)
    return CacheFigures(
        settings=settings,
        base=str(dtype).removeprefix("torch."),
        tokens=tokens,
        allocated_bytes=pool.allocated_bytes,
        full_bytes=full,
        step_seconds=step_seconds,
    )


@torch.inference_mode()
def _filled(settings: CacheSettings, dtype: torch.dtype, tokens: int) -> tuple[CachePool, float]:
    """A pool with one sequence of `tokens` and nothing else allocated; median seconds of its last steps per layer."""
    shape = CacheShape(layers=LAYERS, kv_heads=KV_HEADS, head_size=HEAD_SIZE, dtype=dtype)
    pool = CachePool(shape, 2**40, context_length=tokens, settings=settings, prefix_bytes=0)
    slot = pool.open(tokens)
    generator = torch.Generator().manual_seed(0)
    seconds = []
    for new in (tokens - _STEPS, *[1] * _STEPS):
        fresh = torch.randn(2, 1, KV_HEADS, new, HEAD_SIZE, generator=generator).to(dtype)
        start = time.perf_counter()
        step = pool.step([(slot, new)])
        for layer in range(LAYERS):
            step.update(layer, fresh[0], fresh[1])
        step.commit()
        seconds.append((time.perf_counter() - start) / LAYERS)
    pool.trim()
    return pool, sorted(seconds[1:])[_STEPS // 2]


def measure_scenes(count: int, settings: Sequence[CacheSettings]) -> list[tuple[CacheSettings, CacheDrift]]:
    """Captions of new scenes behind their 64 patches, by the shipped weights."""
    network, made = load_network(), make_scenes(990, count)
    with torch.inference_mode():
        patches = network.embed_picture(torch.from_numpy(made.pictures))
    sequences = [
        GoldenSequence(
            tokens=[PAD] * len(lead) + [token for token in tokens if token != PAD],
            prompt=len(lead) + 1,
            lead=lead,
        )
        for lead, tokens in zip(patches, made.tokens.tolist(), strict=True)
    ]
    return [(one, measure_drift(network, sequences, one)) for one in settings]


def compressed(window: int, group_tokens: int) -> list[CacheSettings]:
    """Settings of every precision but full."""
    return [
        CacheSettings(precision=precision, recent_window=window, group_tokens=group_tokens)
        for precision in CachePrecision
        if precision is not CachePrecision.FULL
    ]
