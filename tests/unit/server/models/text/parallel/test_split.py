"""Networks that ranks cannot share are refused before anything is split."""

from __future__ import annotations

from typing import Any, cast

import pytest
from torch import nn

from atheria_server.models.text.parallel.lead import Lead, LeadPool
from atheria_server.models.text.parallel.split import PLAN, Ranks, SplitError, split_network
from atheria_server.models.text.sceneline.network import Block
from atheria_server.models.text.sceneline.weights import draw_network


def among(count: int) -> Ranks:
    none = cast("Any", None)
    return Ranks(rank=0, count=count, group=none, orders=none)


def test_heads_that_the_ranks_cannot_share_equally_are_refused() -> None:
    network = draw_network("small", 0)
    with pytest.raises(SplitError, match="heads is 4, which 3 ranks cannot share equally"):
        split_network(network, among(3))
    # Four query heads would do; the two heads of keys and values would not.
    with pytest.raises(SplitError, match="kv_heads is 2, which 4 ranks"):
        split_network(network, among(4))


def test_a_layer_that_is_no_plain_linear_any_more_is_refused() -> None:
    network = draw_network("small", 0)
    network.blocks[0].set_submodule("query", nn.Identity())
    with pytest.raises(SplitError, match="query is a Identity: split the network before it is quantised"):
        split_network(network, among(2))


def test_every_linear_layer_of_a_block_is_split() -> None:
    (block,) = [draw_network("small", 0).blocks[0]]
    assert isinstance(block, Block)
    assert {name for name, part in block.named_modules() if isinstance(part, nn.Linear)} == set(PLAN)


def test_each_rank_keeps_its_share_of_weights_and_of_the_caches_heads() -> None:
    whole = draw_network("small", 0)
    before = sum(p.numel() for p in whole.blocks.parameters() if p.dim() == 2)
    shape = whole.cache_shape
    part = split_network(whole, among(2))
    assert sum(p.numel() for p in whole.blocks.parameters() if p.dim() == 2) * 2 == before
    assert part.cache_shape.bytes_per_token * 2 == shape.bytes_per_token
    assert (part.width, part.vocabulary_size, part.end_tokens) == (
        whole.width,
        whole.vocabulary_size,
        whole.end_tokens,
    )


def test_a_step_over_another_pools_slots_is_refused() -> None:
    pool = LeadPool(cast("Any", None), Lead(among(2)))
    with pytest.raises(ValueError, match="of another pool"):
        pool.step([(cast("Any", object()), 1)])
