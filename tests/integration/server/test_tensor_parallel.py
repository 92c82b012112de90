"""Two processes that each have half of the network compute what one computes, with half of the cache each; one that is gone ends the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.sceneline.weights import load_network
from bench.tensor_parallel.ranks import CACHE_BYTES
from bench.tensor_parallel.runs import run_ranks
from bench.tensor_parallel.work import Work, generate

WORK = Work(side=32, words=9, steps=4)


def test_two_ranks_give_the_logits_and_the_text_of_one_process_with_half_the_cache_each(
    tmp_path: Path,
) -> None:
    network = load_network("small")
    pool = CachePool(network.cache_shape, CACHE_BYTES, context_length=WORK.context)
    whole = generate(network, pool, network, WORK)
    ended = run_ranks(tmp_path, "small", WORK, ranks=2, threads=1)
    assert ended.statuses == (0, 0), ended.words
    lead = ended.wrote[0]
    expected = np.concatenate([logits.numpy() for logits in whole.logits])
    assert lead["logits"].shape == expected.shape
    assert np.abs(lead["logits"] - expected).max() <= 1e-4
    assert lead["tokens"].tolist() == whole.tokens
    assert len(whole.tokens) == 2 * WORK.steps
    assert int(lead["used_bytes"]) * 2 == whole.used_bytes > 0


def test_a_rank_that_is_gone_ends_the_other_one_with_an_error(tmp_path: Path) -> None:
    ended = run_ranks(tmp_path, "small", WORK, ranks=2, threads=1, dies=1)
    assert ended.statuses == (1, 9)
    assert "RuntimeError" in ended.words
