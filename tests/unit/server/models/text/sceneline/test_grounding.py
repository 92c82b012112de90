"""The words of a text are found in its picture, and told as tensors, as JSON and as a drawing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atheria_server.models.text.sceneline.boxes import Box, boxes_of, overlap
from atheria_server.models.text.sceneline.grounding import as_json, as_picture, as_tensors, ground
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.signature import (
    BOXES_MAX,
    OUTPUT_BOX_SCORES,
    OUTPUT_BOX_TOKENS,
    OUTPUT_BOXES,
)
from atheria_server.models.text.sceneline.vocabulary import WORDS, is_grounded


def _texts(tokens: np.ndarray) -> list[list[int]]:
    return [[token for token in row if token] for row in tokens.tolist()]


def test_the_boxes_of_a_wide_picture_lie_on_the_shapes(network: SceneLine) -> None:
    scenes = make_scenes(21, 24, 64, 96)
    found = ground(network, scenes.pictures, _texts(scenes.tokens))
    overlaps = []
    for boxes, patches in zip(found, scenes.patches, strict=True):
        for wanted in boxes_of(patches.astype(np.float32), (8, 12), 0.5):
            of_word = [overlap(box, wanted) for box in boxes if box.token == wanted.token]
            overlaps += [max(of_word, default=0.0)]
    assert np.mean(overlaps) >= 0.88
    assert max(box.right for boxes in found for box in boxes) > 64
    assert max(box.bottom for boxes in found for box in boxes) <= 64


def test_words_that_name_nothing_have_no_box(network: SceneLine) -> None:
    scenes = make_scenes(22, 8)
    texts = _texts(scenes.tokens)
    for text, boxes in zip(texts, ground(network, scenes.pictures, texts), strict=True):
        assert {box.token for box in boxes} <= {i for i, token in enumerate(text) if is_grounded(token)}


def test_a_texts_boxes_do_not_depend_on_the_texts_beside_it(network: SceneLine) -> None:
    scenes = make_scenes(23, 6)
    texts = _texts(scenes.tokens)
    together = ground(network, scenes.pictures, texts)
    for row, text in enumerate(texts):
        (alone,) = ground(network, scenes.pictures[row : row + 1], [text])
        assert [(box.token, box.corners) for box in alone] == [
            (box.token, box.corners) for box in together[row]
        ]
        assert [box.score for box in alone] == pytest.approx([box.score for box in together[row]], abs=1e-4)


def _box(score: float, token: int = 1) -> Box:
    return Box(token=token, left=8, top=16, right=24, bottom=40, score=score)


def test_tensors_have_the_same_shape_however_many_boxes_there_are() -> None:
    tensors = as_tensors([[_box(0.5), _box(0.75, token=2)], []])
    assert tensors[OUTPUT_BOXES].shape == (2, BOXES_MAX, 4)
    assert tensors[OUTPUT_BOXES][0, :3].tolist() == [[8, 16, 24, 40], [8, 16, 24, 40], [0, 0, 0, 0]]
    assert tensors[OUTPUT_BOX_SCORES][0, :3].tolist() == [0.5, 0.75, 0]
    assert tensors[OUTPUT_BOX_TOKENS][0, :3].tolist() == [1, 2, -1]
    assert (tensors[OUTPUT_BOX_TOKENS][1] == -1).all()


def test_of_too_many_boxes_the_worst_are_left_out_and_the_order_stays() -> None:
    boxes = [_box(0.1, token=0), *(_box(0.5 + token / 1000, token) for token in range(1, BOXES_MAX + 1))]
    assert as_tensors([boxes])[OUTPUT_BOX_TOKENS][0].tolist() == list(range(1, BOXES_MAX + 1))


def test_json_names_the_word() -> None:
    (told,) = json.loads(as_json([_box(0.5)], [1, WORDS.index("red"), WORDS.index("disc"), 2]))
    assert told == {"word": "red", "token": 1, "left": 8, "top": 16, "right": 24, "bottom": 40, "score": 0.5}


def test_the_drawing_is_a_png_four_times_as_large() -> None:
    data = as_picture(np.zeros((48, 64, 3), np.uint8), [_box(0.5)])
    assert data.startswith(b"\x89PNG")
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (256, 192)
