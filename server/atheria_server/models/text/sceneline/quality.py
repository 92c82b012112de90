"""How far a cheaper variant is from the baseline: both told against the truth, the words and the places of golden scenes.

Called by the runtime `text` for its `golden_calls` and `compare`. Every second golden scene is not square, and none was used
for training, the threshold or the figures of the documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atheria_server.core.quality import Measurement, QualityError, relative_error
from atheria_server.models.contract import Arrays, WarmupCall
from atheria_server.models.text.sceneline.boxes import Box, boxes_of, overlap
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.signature import (
    INPUT_PICTURE,
    OUTPUT_BOX_TOKENS,
    OUTPUT_BOXES,
    OUTPUT_TOKENS,
)
from atheria_server.models.text.sceneline.vocabulary import CAPTION_TOKENS_MAX, PAD

GOLDEN_SEED: Final = 3_000_001
SIZES: Final = ((64, 64), (64, 96))
FLOOR: Final = 0.1
"""Below it an error is taken relative to this instead: a network that gets nothing right has nothing to lose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenScene:
    """One scene and what is true of it."""

    picture: npt.NDArray[np.uint8]
    """[1, height, width, 3]."""
    words: tuple[int, ...]
    """The caption with `<eos>`, without `<bos>`."""
    boxes: tuple[Box, ...]
    """Around the true patches, one for each word that names something; `token` counts from `<bos>`."""


def golden_scenes(count: int) -> Sequence[GoldenScene]:
    """The first `count`; of both sizes in turn."""
    found: list[GoldenScene] = []
    per_size = -(-count // len(SIZES))
    of_sizes = [make_scenes(GOLDEN_SEED, per_size, height, width) for height, width in SIZES]
    for index in range(per_size):
        for scenes in of_sizes:
            places = scenes.patches[index].astype(np.float32)
            found.append(
                GoldenScene(
                    picture=scenes.pictures[index : index + 1],
                    words=tuple(token for token in scenes.tokens[index, 1:].tolist() if token != PAD),
                    boxes=tuple(boxes_of(places, scenes.grid, 0.5)),
                )
            )
    return found[:count]


def golden_calls(count: int) -> Sequence[WarmupCall]:
    """One call for each golden scene: its picture, and a caption asked for."""
    return [
        WarmupCall(
            inputs={INPUT_PICTURE: scene.picture}, parameters={"max_new_tokens": CAPTION_TOKENS_MAX - 1}
        )
        for scene in golden_scenes(count)
    ]


def compare(baseline: Sequence[Arrays], variant: Sequence[Arrays]) -> Sequence[Measurement]:
    """Relative errors of `words` (share that is right) and `boxes` (overlap with the true ones), from the outputs of
    `golden_calls` in their order. Raises QualityError for a different number of them.
    """
    if len(baseline) != len(variant) or not baseline:
        raise QualityError(
            f"there are {len(baseline)} answers of the baseline and {len(variant)} of the variant; "
            "pass those of all golden calls"
        )
    scenes = golden_scenes(len(baseline))
    found = []
    for name, measured in (("words", right_words), ("boxes", right_places)):
        before, after = (
            [measured(scene, answer) for scene, answer in zip(scenes, answers, strict=True)]
            for answers in (baseline, variant)
        )
        found.append(relative_error(name, before, after, floor=FLOOR))
    return found


def right_words(scene: GoldenScene, answer: Arrays) -> float:
    """Share of the true words that the answer has at their place."""
    given = np.asarray(answer[OUTPUT_TOKENS])[0].tolist()
    pairs = zip(scene.words, [*given, *[PAD] * len(scene.words)], strict=False)
    return float(np.mean([wanted == got for wanted, got in pairs]))


def right_places(scene: GoldenScene, answer: Arrays) -> float:
    """Mean overlap of the true boxes with the best one that the answer has for the word at that place."""
    tokens, corners = np.asarray(answer[OUTPUT_BOX_TOKENS])[0], np.asarray(answer[OUTPUT_BOXES])[0]
    found = []
    for wanted in scene.boxes:
        of_word = np.flatnonzero(tokens == wanted.token)
        if not len(of_word):
            found.append(0.0)
            continue
        left, top, right, bottom = corners[of_word[0]].tolist()  # each word's are best first
        got = Box(token=wanted.token, left=left, top=top, right=right, bottom=bottom, score=1.0)
        found.append(overlap(wanted, got))
    return float(np.mean(found))
