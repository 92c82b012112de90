"""A cached model answers as one that recomputes everything, and compression changes no more than the bars allow."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from atheria_server.core.cache_error_budget import CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.drift import GoldenSequence, measure_drift
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.cache.settling import settle
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.vocabulary import PAD
from atheria_server.models.text.sceneline.weights import load_network
from tests.unit.server.models.text.tiny import VOCABULARY, TinyNetwork


def settings(precision: CachePrecision, window: int = 8) -> CacheSettings:
    return CacheSettings(precision=precision, recent_window=window, group_tokens=8)


@cache
def scenes(count: int) -> tuple[SceneLine, list[GoldenSequence]]:
    """The trained network, and captions of new scenes behind their patches."""
    network, made = load_network(), make_scenes(990, count)
    with torch.inference_mode():
        patches = network.embed_picture(torch.from_numpy(made.pictures))
    return network, [
        GoldenSequence(
            tokens=[PAD] * len(lead) + [token for token in tokens if token != PAD],
            prompt=len(lead) + 1,
            lead=lead,
        )
        for lead, tokens in zip(patches, made.tokens.tolist(), strict=True)
    ]


def texts(count: int, length: int) -> list[GoldenSequence]:
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(VOCABULARY, (count, length), generator=generator)
    return [GoldenSequence(tokens=row, prompt=4 + at) for at, row in enumerate(tokens.tolist())]


@torch.inference_mode()
def test_cached_logits_are_those_of_one_pass_over_everything() -> None:
    network = TinyNetwork()
    sequence = texts(1, 60)[0].tokens
    pool = CachePool(network.cache_shape, 2**24, context_length=60)
    whole = compute_pass(network, pool, [Row(slot=pool.open(60), tokens=sequence, wanted=60)], 60, "cpu")
    slot, other, parts = pool.open(60), pool.open(30), []
    for start, count in ((0, 7), (7, 1), (8, 20), (28, 1), (29, 31)):
        rows = [Row(slot=slot, tokens=sequence[start : start + count], wanted=count)]
        if start:
            rows.append(Row(slot=other, tokens=sequence[start : start + 1], wanted=0))
        parts.append(compute_pass(network, pool, rows, count, "cpu"))
    assert whole is not None
    assert float((torch.cat([part for part in parts if part is not None]) - whole).abs().max()) <= 1e-4


@torch.inference_mode()
def test_captions_read_from_the_cache_are_those_of_a_whole_pass() -> None:
    network, sequences = scenes(2)
    made = make_scenes(990, 2)
    expected = network.logits(network.read(torch.from_numpy(made.pictures), torch.from_numpy(made.tokens))[1])
    pool = CachePool(network.cache_shape, 2**26, context_length=96)
    for sequence, scores in zip(sequences, expected, strict=True):
        slot, found = pool.open(96), list[torch.Tensor | None]()
        prompt = Row(slot=slot, tokens=sequence.tokens[: sequence.prompt], lead=sequence.lead)
        found.append(compute_pass(network, pool, [prompt], sequence.prompt, "cpu"))
        words = sequence.tokens[sequence.prompt :]
        found += [compute_pass(network, pool, [Row(slot=slot, tokens=[word])], 1, "cpu") for word in words]
        cached = torch.cat([scores for scores in found if scores is not None])
        assert float((cached - scores[: len(cached)]).abs().max()) <= 1e-4


@pytest.mark.parametrize(
    ("precision", "agreement", "divergence"),
    [(CachePrecision.INT8, 0.995, 1e-4), (CachePrecision.INT4, 0.99, 1e-3)],
)
def test_likeliest_words_of_captions_stay_with_a_compressed_cache(
    precision: CachePrecision, agreement: float, divergence: float
) -> None:
    found = measure_drift(*scenes(64), settings(precision))
    assert found.positions > 300
    assert found.agreement >= agreement
    assert found.divergence <= divergence


def test_fewer_bits_drift_further_and_full_precision_not_at_all() -> None:
    network, sequences = TinyNetwork(), texts(4, 40)
    drifts = [measure_drift(network, sequences, settings(precision)) for precision in CachePrecision]
    assert drifts[0].divergence == 0
    assert drifts[0].agreement == 1
    assert drifts[0].positions == sum(len(one.tokens) - one.prompt - 1 for one in sequences)
    assert drifts[1].divergence < drifts[2].divergence / 10 < drifts[3].divergence / 50


def test_prompts_in_chunks_drift_further_and_with_an_exact_cache_not_at_all() -> None:
    network, sequences = TinyNetwork(), [replace(one, prompt=33) for one in texts(4, 40)]
    for chunk in (None, 8):
        exact = measure_drift(network, sequences, settings(CachePrecision.FULL), chunk_tokens=chunk)
        assert exact.divergence < 1e-9
    whole, chunks = (
        measure_drift(network, sequences, settings(CachePrecision.INT4), chunk_tokens=chunk).divergence
        for chunk in (None, 8)
    )
    assert chunks > whole
    captions = scenes(8)
    in_chunks = measure_drift(*captions, settings(CachePrecision.FULL), chunk_tokens=7)
    assert in_chunks.divergence < 1e-9
    assert in_chunks.positions == measure_drift(*captions, settings(CachePrecision.FULL)).positions


def test_a_window_of_the_whole_sequence_changes_nothing() -> None:
    found = measure_drift(TinyNetwork(), texts(2, 40), settings(CachePrecision.INT2, window=40))
    assert found.divergence == 0


def test_the_precision_steps_back_until_the_drift_is_within_the_budget() -> None:
    network, sequences = TinyNetwork(), texts(4, 40)
    of_int8 = measure_drift(network, sequences, settings(CachePrecision.INT8))
    budget = CacheErrorBudget(least_agreement=0.9, most_divergence=2 * of_int8.divergence)
    settled = settle(network, sequences, settings(CachePrecision.INT2), budget)
    assert settled.settings == settings(CachePrecision.INT8)
    assert list(settled.drifts) == [CachePrecision.INT2, CachePrecision.INT4, CachePrecision.INT8]
    assert len(settled.reasons) == 3
    assert "back to int4" in settled.reasons[0]
    assert "within the budget" in settled.reasons[-1]
    exact = settle(network, sequences, settings(CachePrecision.INT8), CacheErrorBudget(most_divergence=0))
    assert exact.settings.precision is CachePrecision.FULL


def test_sequences_that_measure_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="sequences is empty"):
        measure_drift(TinyNetwork(), [], settings(CachePrecision.INT8))
    for prompt in (0, 4):
        with pytest.raises(ValueError, match="allowed is 1 to 3"):
            measure_drift(
                TinyNetwork(),
                [GoldenSequence(tokens=[1, 2, 3, 4, 5], prompt=prompt)],
                settings(CachePrecision.INT8),
            )


def test_a_network_that_answers_nan_is_over_any_budget() -> None:
    network = TinyNetwork()
    network.out.weight.fill_(math.nan)
    settled = settle(network, texts(4, 40), settings(CachePrecision.INT8), CacheErrorBudget())
    assert settled.settings.precision is CachePrecision.FULL
