"""A variant is judged by what it gets right: the words of golden scenes and their places."""

from __future__ import annotations

import numpy as np
import pytest

from atheria_server.core.quality import QualityError
from atheria_server.models.contract import Arrays
from atheria_server.models.text.sceneline.grounding import as_tensors
from atheria_server.models.text.sceneline.quality import compare, golden_calls, golden_scenes
from atheria_server.models.text.sceneline.signature import INPUT_PICTURE, OUTPUT_TOKENS


def _perfect(count: int) -> list[Arrays]:
    return [
        {OUTPUT_TOKENS: np.array([scene.words]), **as_tensors([scene.boxes])}
        for scene in golden_scenes(count)
    ]


def test_golden_calls_are_the_same_each_time_and_every_second_is_not_square() -> None:
    one, other = golden_calls(5), golden_calls(8)
    assert [call.inputs[INPUT_PICTURE].shape for call in one] == [
        (1, 64, 96 if index % 2 else 64, 3) for index in range(5)
    ]
    # The scenes of a seed are drawn together, so more of them are others; equally many are equal.
    again = golden_calls(5)
    assert all(
        (a.inputs[INPUT_PICTURE] == b.inputs[INPUT_PICTURE]).all() for a, b in zip(one, again, strict=True)
    )
    assert len(other) == 8


def test_equal_answers_have_no_error() -> None:
    assert [(one.name, one.value) for one in compare(_perfect(6), _perfect(6))] == [
        ("words", 0),
        ("boxes", 0),
    ]


def test_a_wrong_word_is_an_error_of_words_alone() -> None:
    worse = _perfect(6)
    worse[0] = {**worse[0], OUTPUT_TOKENS: worse[0][OUTPUT_TOKENS].copy()}
    worse[0][OUTPUT_TOKENS][0, 0] = 3
    words, boxes = compare(_perfect(6), worse)
    assert words.value == pytest.approx(1 / worse[0][OUTPUT_TOKENS].shape[1] / 6)
    assert boxes.value == 0


def test_an_answer_that_ends_early_lacks_the_words_that_are_missing() -> None:
    worse = [{**one, OUTPUT_TOKENS: one[OUTPUT_TOKENS][:, :1]} for one in _perfect(4)]
    (words, _) = compare(_perfect(4), worse)
    assert words.variant == pytest.approx(np.mean([1 / len(scene.words) for scene in golden_scenes(4)]))


def test_answers_without_boxes_have_lost_all_of_them() -> None:
    (_, boxes) = compare(_perfect(4), [{**one, **as_tensors([[]])} for one in _perfect(4)])
    assert (boxes.baseline, boxes.variant) == (1, 0)


def test_answers_of_another_number_of_calls_cannot_be_compared() -> None:
    with pytest.raises(QualityError, match="there are 4 answers of the baseline and 3 of the variant"):
        compare(_perfect(4), _perfect(3))
