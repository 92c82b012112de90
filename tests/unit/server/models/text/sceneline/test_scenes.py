"""Scenes are what their captions say, where their patches say, and equal for equal seeds."""

from __future__ import annotations

import numpy as np
import pytest

from atheria_server.models.text.sceneline.scenes import CELL, make_scenes
from atheria_server.models.text.sceneline.vocabulary import (
    AND,
    BEGIN,
    END,
    FIRST_SHAPE,
    PAD,
    WORDS,
    decode,
    encode,
    is_grounded,
)

SHAPE_TOKENS = range(FIRST_SHAPE, len(WORDS))
SIZES = [(64, 64), (64, 96), (96, 64), (24, 24), (48, 80)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_caption_is_one_to_three_shapes_between_begin_and_end(height: int, width: int) -> None:
    scenes = make_scenes(3, 50, height, width)
    for row in scenes.tokens.tolist():
        text = row[: row.index(PAD)] if PAD in row else row
        assert (text[0], text[-1]) == (BEGIN, END)
        phrases = decode(text).split(" and ")
        assert 1 <= len(phrases) <= 3
        for phrase in phrases:
            colour, shape = encode(phrase)
            assert colour < WORDS.index("square") <= shape


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_word_has_patches_exactly_if_it_names_something(height: int, width: int) -> None:
    scenes = make_scenes(4, 50, height, width)
    names = np.vectorize(is_grounded)(scenes.tokens)
    assert (scenes.patches.any(-1) == names).all()


def test_the_patches_of_a_colour_are_of_that_colour() -> None:
    scenes = make_scenes(5, 60, 64, 96)
    rows, columns = scenes.grid
    means = scenes.pictures.reshape(60, rows, 8, columns, 8, 3).mean((2, 4)).reshape(60, rows * columns, 3)
    wanted = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
    for name, channels in wanted.items():
        scene, word = np.nonzero(scenes.tokens == WORDS.index(name))
        for one, patches in zip(scene, scenes.patches[scene, word], strict=True):
            found = means[one][patches].max(0)
            low = [found[c] for c in range(3) if not channels[c]]
            assert min(found[c] for c in range(3) if channels[c]) > max(low), name


def test_words_go_row_by_row_and_from_left_to_right() -> None:
    scenes = make_scenes(6, 100, 64, 96)
    for tokens, patches in zip(scenes.tokens, scenes.patches, strict=True):
        shapes = [
            np.flatnonzero(one) for token, one in zip(tokens, patches, strict=True) if token in SHAPE_TOKENS
        ]
        cells = [tuple(int(8 * (axis.mean() + 0.5)) // CELL for axis in divmod(one, 12)) for one in shapes]
        assert cells == sorted(set(cells))


def test_equal_seeds_give_equal_scenes() -> None:
    scenes = make_scenes(7, 8)
    assert (make_scenes(7, 8).pictures == scenes.pictures).all()
    assert (make_scenes(8, 8).pictures != scenes.pictures).any()


def test_between_two_shapes_stands_and() -> None:
    scenes = make_scenes(9, 40)
    assert ((scenes.tokens == AND).sum(1) == np.isin(scenes.tokens, SHAPE_TOKENS).sum(1) - 1).all()


@pytest.mark.parametrize(("height", "width", "name"), [(60, 64, "height is 60"), (64, 16, "width is 16")])
def test_a_size_that_holds_no_whole_patches_or_no_shape_is_refused(
    height: int, width: int, name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        make_scenes(0, 1, height, width)


def test_an_unknown_word_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown word 'purple'; allowed: .*yellow"):
        encode("red disc and purple cross")
