"""Answers as a table, as JSON, as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from atheria_cli.calls.answers import answer_table, as_json, check_file, save, text_of
from atheria_cli.calls.movie import check_movie
from atheria_cli.console import make_console
from atheria_cli.errors import CommandError

FIELD = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
WORDS = np.array([["a é".encode()]], dtype=object)


def test_the_table_shows_type_shape_range_and_parameters() -> None:
    console = Console(width=200)
    with console.capture() as printed:
        console.print(answer_table({"density": FIELD, "text": WORDS}, {"step": 8}))
    words = " ".join(printed.get().split())
    assert "density float32 [1, 3, 4] 0 .. 11 0, 1, 2, 3, 4, 5, …" in words
    assert "text object [1, 1] 'a é'" in words
    assert "step parameter 8" in words
    with console.capture() as printed:
        console.print(answer_table({"picture": np.array([b"\x89PNG1234"], dtype=object)}, {}))
    assert "a PNG of 8 bytes" in printed.get()


def test_json_has_lists_and_texts() -> None:
    found = as_json({"text": WORDS, "n": np.array([1, 2])}, {"step": 1})
    assert json.loads(json.dumps(found)) == {
        "outputs": {"text": [["a é"]], "n": [1, 2]},
        "parameters": {"step": 1},
    }


def test_outputs_are_saved_by_the_names_ending(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", {"density": FIELD, "text": WORDS}, {})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert np.array_equal(held["density"], FIELD)
        assert held["text"].tolist() == [["a é".encode()]]
    save(tmp_path / "a.npy", {"density": FIELD}, {})
    assert np.array_equal(np.load(tmp_path / "a.npy"), FIELD)
    save(tmp_path / "a.json", {"density": FIELD}, {})
    assert json.loads((tmp_path / "a.json").read_text())["outputs"]["density"] == FIELD.tolist()
    save(tmp_path / "a.png", {"metrics": np.zeros((1, 5)), "density": FIELD}, {})
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (4, 3)


def test_colours_and_finished_pictures_are_saved_as_they_are(tmp_path: Path) -> None:
    pixels = np.full((1, 2, 5, 3), 7, np.uint8)
    save(tmp_path / "a.png", {"image": pixels}, {})
    with Image.open(tmp_path / "a.png") as image:
        assert (image.size, image.getpixel((0, 0))) == ((5, 2), (7, 7, 7))
    made = (tmp_path / "a.png").read_bytes()
    save(tmp_path / "b.png", {"boxes": np.zeros((1, 32, 4)), "drawn": np.array([[made]], dtype=object)}, {})
    assert (tmp_path / "b.png").read_bytes() == made


def test_what_one_file_cannot_hold_is_refused_with_what_can(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"holds one output, but the answer has a, b"):
        save(tmp_path / "a.npy", {"a": FIELD, "b": FIELD}, {})
    with pytest.raises(CommandError, match=r"no output is a picture .* a \[3\]"):
        save(tmp_path / "a.png", {"a": np.zeros(3)}, {})


def test_a_name_that_cannot_be_written_is_refused_before_the_call(tmp_path: Path) -> None:
    for check, allowed in ((check_file, ".npz"), (check_movie, ".mp4")):
        with pytest.raises(CommandError, match=f"allowed: a name that ends in {allowed}"):
            check(tmp_path / "a.foo")
        with pytest.raises(CommandError, match="its folder does not exist"):
            check(tmp_path / "none" / f"a{allowed}")


def test_a_text_is_saved_whole_and_told_to_be_missing_where_it_is() -> None:
    assert text_of({"text_output": WORDS}) == "a é"
    assert text_of({"text_output": np.zeros(3)}) is None
    assert text_of({"density": FIELD}) is None


def test_a_text_file_holds_the_text_of_the_answer(tmp_path: Path) -> None:
    save(tmp_path / "a.txt", {"text_output": WORDS, "tokens": np.zeros((1, 4))}, {})
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a é"
    with pytest.raises(CommandError, match="the answer has no text_output; it has density"):
        save(tmp_path / "a.txt", {"density": FIELD}, {})


def test_boxes_are_no_picture_and_the_parameter_that_draws_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"boxes \[1, 32, 4\]; .* -p draw=true"):
        save(tmp_path / "a.png", {"boxes": np.ones((1, 32, 4), np.int32)}, {})


def test_numbers_that_json_does_not_have_are_null() -> None:
    found = as_json({"a": np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)}, {"b": 1, "a": 2})
    assert found["outputs"] == {"a": [[1.0, None], [None, 2.0]]}
    assert list(found["parameters"]) == ["a", "b"]


def test_parameters_that_are_no_number_are_null_too() -> None:
    told = as_json({}, {"loss": float("nan"), "steps": 8, "rate": 0.5})
    assert told["parameters"] == {"loss": None, "steps": 8, "rate": 0.5}


def test_brackets_in_an_answer_are_shown_as_they_are() -> None:
    console = make_console()
    with console.capture() as printed:
        console.print(answer_table({"reply": np.array([b"[INST] a [/INST]"], object)}, {"why": "[bold]x"}))
    assert "[INST] a [/INST]" in printed.get()
    assert "[bold]x" in printed.get()
