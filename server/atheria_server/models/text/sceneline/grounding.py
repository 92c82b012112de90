"""Where the words of a text are in the picture: arrays in, arrays out. Worker only (torch).

Called by the runtime `text` once a text is complete. The network reads picture and text in one pass without a cache: every
position attends only to those before it, so these are the hidden states that the generation had, at the price of one prefill
and without a thread through the generator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from atheria_server.models.text.sceneline.boxes import Box, boxes_of
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.picture import draw_boxes, png
from atheria_server.models.text.sceneline.settings import PATCH
from atheria_server.models.text.sceneline.signature import (
    BOXES_MAX,
    NO_TOKEN,
    OUTPUT_BOX_SCORES,
    OUTPUT_BOX_TOKENS,
    OUTPUT_BOXES,
)
from atheria_server.models.text.sceneline.vocabulary import WORDS, is_grounded


def ground(
    network: SceneLine, pictures: npt.NDArray[np.uint8], texts: Sequence[Sequence[int]]
) -> list[list[Box]]:
    """The boxes of each text, [texts, height, width, 3] beside tokens that begin with `<bos>`; `token` counts from there.

    Only words that name something are given boxes (`vocabulary.is_grounded`). The threshold is the network's own.
    """
    grid = pictures.shape[1] // PATCH, pictures.shape[2] // PATCH
    similarity = similarities(network, pictures, texts)
    threshold = float(network.grounding_threshold)
    found = []
    for row, text in enumerate(texts):
        pointing = [index for index, token in enumerate(text) if is_grounded(token)]
        masked = np.full((len(text), similarity.shape[2]), -1.0, np.float32)
        masked[pointing] = similarity[row, pointing]
        found.append(boxes_of(masked, grid, threshold))
    return found


def similarities(
    network: SceneLine, pictures: npt.NDArray[np.uint8], texts: Sequence[Sequence[int]]
) -> npt.NDArray[np.float32]:
    """Cosines [texts, words of the longest, patches]; what lies behind a shorter text says nothing."""
    device = network.words.weight.device
    tokens = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text)
    with torch.inference_mode():
        patches, words = network.read(torch.from_numpy(np.array(pictures)).to(device), tokens.to(device))
        cosines: npt.NDArray[np.float32] = network.similarity(words, patches).cpu().numpy()
    return cosines


def as_tensors(found: Sequence[Sequence[Box]]) -> Mapping[str, npt.NDArray[Any]]:
    """OUTPUT_BOXES, OUTPUT_BOX_SCORES and OUTPUT_BOX_TOKENS of what `ground` gave."""
    boxes = np.zeros((len(found), BOXES_MAX, 4), np.int32)
    scores = np.zeros((len(found), BOXES_MAX), np.float32)
    tokens = np.full((len(found), BOXES_MAX), NO_TOKEN, np.int32)
    for row, of_text in enumerate(found):
        for column, box in enumerate(_best(of_text)):
            boxes[row, column], scores[row, column], tokens[row, column] = box.corners, box.score, box.token
    return {OUTPUT_BOXES: boxes, OUTPUT_BOX_SCORES: scores, OUTPUT_BOX_TOKENS: tokens}


def as_json(boxes: Sequence[Box], text: Sequence[int]) -> str:
    """`[{"word", "token", "left", "top", "right", "bottom", "score"}, ...]` of one text."""
    return json.dumps(
        [{"word": WORDS[text[box.token]], **asdict(box), "score": round(box.score, 4)} for box in boxes]
    )


def as_picture(picture: npt.NDArray[np.uint8], boxes: Sequence[Box]) -> bytes:
    """PNG of one picture with the boxes drawn."""
    return png(draw_boxes(picture, boxes))


def _best(boxes: Sequence[Box]) -> Sequence[Box]:
    kept = sorted(boxes, key=lambda box: -box.score)[:BOXES_MAX]
    return [box for box in boxes if box in kept]
