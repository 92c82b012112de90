"""The trained network with the caches that serve it: exact where nothing is compressed, and nearly so where it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.drift import GoldenSequence, measure_drift
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes


def _texts(scenes: Scenes) -> list[list[int]]:
    return [[token for token in row if token] for row in scenes.tokens.tolist()]


def _leads(network: SceneLine, scenes: Scenes) -> Tensor:
    with torch.inference_mode():
        return network.embed_picture(torch.from_numpy(scenes.pictures))


def test_texts_of_pictures_of_two_sizes_in_one_cache_equal_recomputed_ones(network: SceneLine) -> None:
    """The square ones are filled up to the wide ones' length, so this is the mask's test as well."""
    square, wide = make_scenes(31, 4), make_scenes(31, 4, 64, 96)
    leads = [*_leads(network, square), *_leads(network, wide)]
    texts = [text[:-1] for text in [*_texts(square), *_texts(wide)]]
    pool = CachePool(network.cache_shape, 2**30, context_length=network.context_length, prefix_bytes=0)
    slots = [pool.open(len(lead) + len(text)) for lead, text in zip(leads, texts, strict=True)]
    told: list[list[Tensor]] = [[] for _ in texts]
    with torch.inference_mode():
        rows = [
            Row(slot=slot, tokens=[0] * len(lead) + text[:1], lead=lead)
            for slot, lead, text in zip(slots, leads, texts, strict=True)
        ]
        under_way = list(range(len(texts)))
        for word in range(1, 1 + max(map(len, texts))):
            logits = compute_pass(network, pool, rows, max(len(row.tokens) for row in rows), "cpu")
            assert logits is not None
            for at, scores in zip(under_way, logits, strict=True):
                told[at].append(scores)
            under_way = [at for at in under_way if word < len(texts[at])]
            if not under_way:
                break
            rows = [Row(slot=slots[at], tokens=[texts[at][word]]) for at in under_way]
        for scenes, first in ((square, 0), (wide, 4)):
            for at in range(4):
                text = torch.tensor([texts[first + at]])
                _, words = network.read(torch.from_numpy(scenes.pictures[at : at + 1]), text)
                difference = torch.stack(told[first + at]) - network.logits(words[0])
                assert float(difference.abs().max()) <= 1e-4


@pytest.fixture(scope="module")
def golden(network: SceneLine, scenes: Scenes) -> Sequence[GoldenSequence]:
    return [
        GoldenSequence(tokens=[*[0] * len(lead), *text], prompt=len(lead) + 1, lead=lead)
        for lead, text in zip(_leads(network, scenes), _texts(scenes), strict=True)
    ]


@pytest.mark.parametrize(
    ("precision", "agreement"), [(CachePrecision.INT8, 0.995), (CachePrecision.INT4, 0.99)]
)
def test_a_compressed_cache_foretells_the_same_words(
    network: SceneLine, golden: Sequence[GoldenSequence], precision: CachePrecision, agreement: float
) -> None:
    settings = CacheSettings(precision=precision, recent_window=8, group_tokens=8)
    drift = measure_drift(network, golden, settings)
    assert drift.positions > 200
    assert drift.agreement >= agreement
    assert drift.divergence > 0  # otherwise nothing was compressed
