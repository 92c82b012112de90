"""How much of a GPU a text model plans with, on a device that the test plays, and what of it is a draft's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from atheria_server.models.text.causal import CacheShape
from atheria_server.models.text.settings import TextSettings
from atheria_server.models.text.start import _default_bytes, new_generator

TOTAL, WEIGHTS, FREED = 24_000, 4_000, 4_000


class Device:
    """Torch holds on to what was freed until it is told to give it back."""

    def __init__(self) -> None:
        self.kept = FREED

    def empty_cache(self) -> None:
        self.kept = 0

    def memory_reserved(self, _: str) -> int:
        return WEIGHTS + self.kept

    def mem_get_info(self, _: str) -> tuple[int, int]:
        return TOTAL - WEIGHTS - self.kept, TOTAL


@pytest.mark.parametrize(("workers", "expected"), [(1, 16_000), (2, 6_400)])
def test_memory_that_is_freed_and_not_given_back_is_not_taken_off_the_cache(
    monkeypatch: pytest.MonkeyPatch, workers: int, expected: int
) -> None:
    device = Device()
    for name in ("empty_cache", "memory_reserved", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, getattr(device, name))
    assert _default_bytes("cuda:0", workers) == expected


CONTEXT = 32_768
MISTRAL = {"layers": 32, "kv_heads": 8, "head_size": 128, "dtype": torch.bfloat16}
SMALL = {**MISTRAL, "layers": 8, "kv_heads": 4}


@dataclass
class Shaped:
    """A network as far as a cache asks for it."""

    cache_shape: CacheShape
    context_length: int = CONTEXT


@dataclass
class Pair:
    network: Shaped
    draft: Shaped
    beginnings: tuple[()] = field(default=())


def texts_of(pool: Any, tokens: int) -> int:
    return int(pool.budget_bytes // pool.bytes_for(tokens))


def pools(window: int | None, draft_window: int | None, draft_context: int = CONTEXT, **settings: Any) -> Any:
    pair = Pair(
        network=Shaped(CacheShape(**MISTRAL, window=window)),
        draft=Shaped(CacheShape(**SMALL, window=draft_window), draft_context),
    )
    given = TextSettings(**{"cache_bytes": 10 << 30, **settings})
    made: Any = new_generator(pair, given, context_length=CONTEXT, decode=None, device="cpu")  # type: ignore[arg-type]
    return made._pool, made._drafters["draft"]._pool


@pytest.mark.parametrize("draft_window", [None, 1024, 4096, 8192])
@pytest.mark.parametrize("window", [None, 4096])
def test_a_drafts_cache_has_room_for_all_texts_that_the_cache_has_room_for(
    window: int | None, draft_window: int | None
) -> None:
    pool, draft = pools(window, draft_window)
    assert pool.budget_bytes + draft.budget_bytes == 10 << 30
    for tokens in (1, 100, 1000, 4096, 5000, 16_384, CONTEXT):
        assert texts_of(draft, tokens) >= texts_of(pool, tokens) > 0


def test_a_draft_whose_layers_slide_takes_a_small_part_of_the_cache() -> None:
    pool, draft = pools(4096, 4096)
    assert texts_of(pool, CONTEXT) >= 16
    assert draft.budget_bytes / pool.budget_bytes < 1.05 / 8


def test_what_a_draft_cannot_read_has_no_part_in_what_it_gets() -> None:
    pool, draft = pools(None, None, draft_context=4096)
    assert texts_of(draft, 4096) >= texts_of(pool, 4096)
    assert texts_of(pool, CONTEXT) == 2


def test_a_gibibyte_holds_the_windows_of_both() -> None:
    pool, draft = pools(4096, 4096, cache_bytes=1 << 30)
    assert texts_of(pool, CONTEXT) >= 1 <= texts_of(draft, CONTEXT)
