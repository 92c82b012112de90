"""Frames as a film or an animated picture, read back."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from atheria_cli.calls.movie import check_movie, save_movie
from atheria_cli.errors import CommandError

RISING = [np.full((3, 5), level, np.float32) for level in (0.0, 1.0, 2.0, 3.0)]


def film(path: Path) -> tuple[float, list[np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Frames a second, and the pixels [H, W, 3] of each frame."""
    with av.open(path) as container:
        (stream,) = container.streams.video
        assert stream.codec_context.name == "h264"
        assert stream.average_rate is not None
        return float(stream.average_rate), [
            frame.to_ndarray(format="rgb24") for frame in container.decode(stream)
        ]


def test_a_film_has_every_frame_at_its_rate_in_colours_that_change_with_the_field(tmp_path: Path) -> None:
    drawn: list[int] = []
    save_movie(tmp_path / "a.mp4", RISING, 30.0, drawn.append)
    rate, frames = film(tmp_path / "a.mp4")
    assert rate == 30
    assert [frame.shape for frame in frames] == [(256, 426, 3)] * 4, "odd sides are made even"
    brightness = [float(frame.mean()) for frame in frames]
    assert brightness == sorted(brightness)
    assert brightness[0] < 20
    assert brightness[-1] > 180
    red = frames[2].reshape(-1, 3).mean(axis=0)
    assert red[0] > red[2], "the middle of the scale is red to yellow, as in the terminal and in a .gif"
    assert drawn == [1, 2, 3, 4]


def test_a_rate_that_is_no_whole_number_is_kept(tmp_path: Path) -> None:
    save_movie(tmp_path / "a.mp4", RISING, 12.5)
    assert film(tmp_path / "a.mp4")[0] == 12.5


def test_pictures_keep_their_own_colours_in_a_film(tmp_path: Path) -> None:
    blue = np.zeros((256, 256, 3), np.uint8)
    blue[..., 2] = 200
    save_movie(tmp_path / "a.mp4", [blue, blue], 10)
    _, (first, _) = film(tmp_path / "a.mp4")
    assert np.abs(first.reshape(-1, 3).mean(axis=0) - (0, 0, 200)).max() < 12


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animated_picture_has_a_picture_a_frame_large_enough_to_see(tmp_path: Path, ending: str) -> None:
    save_movie(tmp_path / f"a.{ending}", RISING, 20)
    with Image.open(tmp_path / f"a.{ending}") as movie:
        assert (movie.n_frames, movie.size) == (4, (425, 255))  # type: ignore[attr-defined]
        movie.seek(1)
        movie.load()
        assert movie.info["duration"] == 50


def test_frames_of_different_sizes_are_refused_with_the_option_that_chooses(tmp_path: Path) -> None:
    with pytest.raises(
        CommandError, match=r"differ in size \(\[2, 2\], \[3, 5\]\); name one output with --want"
    ):
        save_movie(tmp_path / "a.mp4", [RISING[0], np.zeros((2, 2), np.float32)], 10)


def test_a_film_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(CommandError, match=r"a\.mp4 cannot be written: Is a directory"):
        save_movie(tmp_path / "a.mp4", RISING, 10)


def test_without_pyav_the_extra_is_named_before_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "atheria_cli.calls.movie.find_spec", lambda name: None if name == "av" else found(name)
    )
    with pytest.raises(CommandError, match=r"needs PyAV: pip install 'atheria\[movie\]', or save as \.gif"):
        check_movie(tmp_path / "a.mp4")
    check_movie(tmp_path / "a.gif")


def test_a_pyav_without_the_encoder_is_told_before_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atheria_cli.calls.movie._CODEC", "h999")
    with pytest.raises(CommandError, match="has no h999 encoder"):
        check_movie(tmp_path / "a.mp4")
