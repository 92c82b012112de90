"""Frames drawn for a person."""

from pathlib import Path

import numpy as np
from PIL import Image

from atheria_cli.picture import colours, contact_sheet, terminal


def test_the_lowest_value_is_darkest_and_the_highest_brightest() -> None:
    rgb = colours(np.array([[0.0, 0.5, 1.0]], np.float32), 0, 1)
    brightness = rgb.astype(int).sum(-1)[0]
    assert brightness[0] < brightness[1] < brightness[2]


def test_values_outside_the_scale_are_clipped() -> None:
    rgb = colours(np.array([[-5.0, 0.0, 1.0, 9.0]], np.float32), 0, 1)
    assert (rgb[0, 0] == rgb[0, 1]).all()
    assert (rgb[0, 2] == rgb[0, 3]).all()


def test_a_flat_field_is_drawn_without_dividing_by_zero() -> None:
    assert colours(np.ones((4, 4), np.float32), 1, 1).shape == (4, 4, 3)


def test_the_terminal_shows_two_rows_of_cells_a_line() -> None:
    text = terminal(np.zeros((64, 64), np.float32), 0, 1, width=32)
    assert text.plain.splitlines() == ["▀" * 32] * 16


def test_a_frame_is_never_wider_than_the_terminal_has_room() -> None:
    text = terminal(np.zeros((60, 60), np.float32), 0, 1, width=40)
    assert {len(line) for line in text.plain.splitlines()} == {30}


def test_pixels_are_drawn_in_their_own_colours_and_as_shades_by_their_brightness() -> None:
    image = np.zeros((4, 2, 3), np.uint8)
    image[:, 1] = 255
    text = terminal(image, 0, 255, width=2)
    assert "rgb(255,255,255) on rgb(255,255,255)" in {str(span.style) for span in text.spans}
    assert terminal(image, 0, 255, width=2, colour=False).plain.splitlines() == [" @"] * 2


def test_without_colours_bright_cells_are_dense_characters() -> None:
    field = np.zeros((8, 8), np.float32)
    field[:, 4:] = 1.0
    assert terminal(field, 0, 1, width=8, colour=False).plain.splitlines() == ["    @@@@"] * 4


def test_the_contact_sheet_holds_every_frame(tmp_path: Path) -> None:
    frames = [(2 * i, np.full((8, 8), i, np.float32)) for i in range(10)]
    contact_sheet(frames, tmp_path / "out" / "frames.png", columns=8, scale=2)
    with Image.open(tmp_path / "out" / "frames.png") as image:
        assert image.size == (8 * 22 + 6, 2 * 36 + 6)
        first, last = image.getpixel((10, 25)), image.getpixel((30, 25 + 36))
    assert first != last
