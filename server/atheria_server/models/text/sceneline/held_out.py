"""How good a network is on scenes that it was not trained on, and the threshold of its grounding, which is learnt there.

Called by training before anything is written, and by tests on the shipped weights. Two sets: the threshold is fitted on the
one and judged on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from atheria_server.models.text.sceneline.boxes import Box, boxes_of, overlap
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.vocabulary import PAD

CALIBRATION_SEED: Final = 1_000_001
JUDGED_SEED: Final = 2_000_001
"""Training's seeds are far below both."""
SCENES: Final = 256
ROWS_AT_ONCE: Final = 32
_THRESHOLDS: Final = np.arange(-50, 100, 2) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Means over scenes of one size."""

    accuracy: float
    """Share of the words that are foretold right, the right ones having been read before."""
    captions: float
    """Share of the captions in which every word is."""
    patch_iou: float
    """Mean over words that name something: patches pointed at and true, over patches pointed at or true."""
    box_iou: float
    """The same of areas: of the word's best box and the one around its true patches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a network makes of scenes when it reads their true captions."""

    logits: Tensor
    """[scenes, words, vocabulary]."""
    similarity: Tensor
    """[scenes, words, patches]."""


def answers(network: SceneLine, scenes: Scenes) -> Answers:
    """In parts of ROWS_AT_ONCE; all words but the last are read."""
    logits, similarity = [], []
    with torch.inference_mode():
        for pictures, tokens in _parts(scenes):
            patches, words = network.read(pictures, tokens[:, :-1])
            logits.append(network.logits(words))
            similarity.append(network.similarity(words, patches))
    return Answers(logits=torch.cat(logits), similarity=torch.cat(similarity))


def quality_of(given: Answers, scenes: Scenes, threshold: float) -> Quality:
    """Of a network's answers, against the truth."""
    wanted = torch.from_numpy(scenes.tokens[:, 1:])
    right = given.logits.argmax(-1) == wanted
    counted = wanted != PAD
    return Quality(
        accuracy=float(right[counted].float().mean()),
        captions=float((right | ~counted).all(1).float().mean()),
        patch_iou=patch_iou(given.similarity, scenes, threshold),
        box_iou=box_iou(given.similarity, scenes, threshold),
    )


def patch_iou(similarity: Tensor, scenes: Scenes, threshold: float) -> float:
    """Mean intersection over union of the patches above the threshold with the true ones."""
    true = torch.from_numpy(scenes.patches[:, :-1])
    names = true.any(-1)
    pointed, true = similarity[names] > threshold, true[names]
    return float(((pointed & true).sum(-1) / (pointed | true).sum(-1)).mean())


def box_iou(similarity: Tensor, scenes: Scenes, threshold: float) -> float:
    """Mean intersection over union of each word's best box with the box around its true patches."""
    found = []
    for cosines, true in zip(similarity.numpy(), scenes.patches[:, :-1], strict=True):
        wanted = {box.token: box for box in boxes_of(true.astype(np.float32), scenes.grid, 0.5)}
        best: dict[int, Box] = {}
        for box in boxes_of(cosines, scenes.grid, threshold):
            best.setdefault(box.token, box)
        found += [overlap(best[token], box) if token in best else 0.0 for token, box in wanted.items()]
    return float(np.mean(found))


def fitted_threshold(network: SceneLine) -> float:
    """The cosine that separates best on the calibration scenes, to two decimals."""
    scenes = make_scenes(CALIBRATION_SEED, SCENES)
    similarity = answers(network, scenes).similarity
    return float(max(_THRESHOLDS, key=lambda threshold: patch_iou(similarity, scenes, float(threshold))))


def judge(network: SceneLine, height: int = 64, width: int = 64) -> Quality:
    """On the judged scenes of one size, with the network's own threshold."""
    scenes = make_scenes(JUDGED_SEED, SCENES, height, width)
    return quality_of(answers(network, scenes), scenes, float(network.grounding_threshold))


def _parts(scenes: Scenes) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(scenes.tokens), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        yield torch.from_numpy(scenes.pictures[part]), torch.from_numpy(scenes.tokens[part])
