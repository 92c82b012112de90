"""The picture of the documentation can be made by anyone, and says what the network says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atheria_server.models.text.sceneline import show
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.vocabulary import BEGIN, END


def test_scenes_are_drawn_in_rows_and_told_with_their_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "boxes.png"
    assert show.main([str(file), "--rows", "1"]) == 0
    data = file.read_bytes()
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (3 * 384 + 2 * 8, 256)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 6
    assert all('"word"' in line for line in said[1::2])


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main([str(tmp_path / "none" / "boxes.png"), "--rows", "1"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_each_word_is_the_likeliest_after_those_before_it(network: SceneLine) -> None:
    picture = make_scenes(41, 1).pictures[0]
    text = show.described(network, picture)
    assert (text[0], text[-1]) == (BEGIN, END)
    with torch.inference_mode():
        _, words = network.read(torch.from_numpy(picture[None]), torch.tensor([text[:-1]]))
    assert network.logits(words)[0].argmax(-1).tolist() == text[1:]
