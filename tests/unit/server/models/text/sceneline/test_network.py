"""The network obeys the seam to caches and generator: what is computed step by step equals what is computed at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from atheria_server.models.text.causal import CacheShape, CausalModel
from atheria_server.models.text.sceneline.network import OnePass, SceneLine
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.settings import SIZES
from atheria_server.models.text.sceneline.weights import draw_network


class Growing:
    """Keeps what every layer was given, whole and uncompressed."""

    def __init__(self, layers: int) -> None:
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        before = self.kept[layer]
        both = (
            (keys, values)
            if before is None
            else (torch.cat((before[0], keys), 2), torch.cat((before[1], values), 2))
        )
        self.kept[layer] = both
        return both


def _positions(first: int, count: int, rows: int) -> Tensor:
    return torch.arange(first, first + count).expand(rows, count)


@torch.inference_mode()
def _step_by_step(network: SceneLine, scenes: Scenes) -> Tensor:
    """Logits of every word, each fed alone on top of a cache."""
    tokens, before = (
        torch.from_numpy(scenes.tokens[:, :-1]),
        network.embed_picture(torch.from_numpy(scenes.pictures)),
    )
    rows, patches = before.shape[:2]
    cache = Growing(network.cache_shape.layers)
    network.forward(before, _positions(0, patches, rows), None, cache)
    logits = []
    for word in range(tokens.shape[1]):
        positions = _positions(patches + word, 1, rows)
        hidden = network.forward(network.embed(tokens[:, word : word + 1], positions), positions, None, cache)
        logits.append(network.logits(hidden))
    return torch.cat(logits, 1)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_a_cached_text_equals_a_recomputed_one(network: SceneLine, height: int, width: int) -> None:
    scenes = make_scenes(11, 8, height, width)
    with torch.inference_mode():
        _, words = network.read(torch.from_numpy(scenes.pictures), torch.from_numpy(scenes.tokens[:, :-1]))
        at_once = network.logits(words)
    assert float((_step_by_step(network, scenes) - at_once).abs().max()) <= 1e-4


def test_a_mask_that_says_causal_is_the_same_as_none(network: SceneLine, scenes: Scenes) -> None:
    embedded = network.embed_picture(torch.from_numpy(scenes.pictures[:4]))
    mask = torch.ones(64, 64, dtype=torch.bool).tril().expand(4, 1, 64, 64)
    with torch.inference_mode():
        masked = network.forward(embedded, _positions(0, 64, 4), mask, OnePass())
        causal = network.forward(embedded, _positions(0, 64, 4), None, OnePass())
    assert float((masked - causal).abs().max()) <= 1e-4


def test_nothing_depends_on_what_comes_later(network: SceneLine, scenes: Scenes) -> None:
    pictures, tokens = torch.from_numpy(scenes.pictures[:4]), torch.from_numpy(scenes.tokens[:4, :6])
    changed = tokens.clone()
    changed[:, 4:] = 1
    with torch.inference_mode():
        before, after = network.read(pictures, tokens), network.read(pictures, changed)
    assert float((before[0] - after[0]).abs().max()) <= 1e-5
    assert float((before[1][:, :4] - after[1][:, :4]).abs().max()) <= 1e-5
    assert float((before[1][:, 4:] - after[1][:, 4:]).abs().max()) > 0.1


def test_the_grid_follows_the_real_sides_of_the_picture() -> None:
    network = draw_network("small", 0)
    flat = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    flat[0, 0:8, 88:96] = 255  # the last patch of the first row
    with torch.inference_mode():
        changed = (network.embed_picture(flat) - network.embed_picture(torch.zeros_like(flat))).abs().amax(-1)
    assert torch.nonzero(changed[0] > 1e-3).flatten().tolist() == [11]


def test_it_is_a_causal_model_of_842_thousand_weights(network: SceneLine) -> None:
    model: CausalModel = network
    assert sum(weight.numel() for weight in network.parameters()) == 842_379
    assert model.cache_shape == CacheShape(layers=4, kv_heads=2, head_size=32, dtype=torch.float32)
    assert (model.width, model.vocabulary_size, model.context_length) == (128, 11, 512)
    assert model.end_tokens == {2}


def test_large_is_24_layers_of_1024_with_8_thousand_positions() -> None:
    with torch.device("meta"):
        network = SceneLine(SIZES["large"])
    assert (network.cache_shape.layers, network.width, network.context_length) == (24, 1024, 8192)
    assert sum(weight.numel() for weight in network.parameters()) == 273_613_323


def test_similarity_is_a_cosine(network: SceneLine, scenes: Scenes) -> None:
    with torch.inference_mode():
        patches, words = network.read(
            torch.from_numpy(scenes.pictures[:4]), torch.from_numpy(scenes.tokens[:4])
        )
        cosines = network.similarity(words, patches).numpy()
    assert cosines.shape == (4, 10, 64)
    assert np.abs(cosines).max() <= 1 + 1e-5
