"""What a person writes after --input and --parameter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atheria_cli.calls.inputs import Declared, datatype_of, parameters, tensors
from atheria_cli.errors import CommandError, ExitCode

SEED = Declared(name="seed", datatype="INT64", shape=(-1,))
STATE = Declared(name="state", datatype="FP32", shape=(-1, 2, -1, -1))
IMAGE = Declared(name="image", datatype="UINT8", shape=(-1, -1, -1, 3))
PLANES = Declared(name="planes", datatype="FP32", shape=(-1, 3, -1, -1))
TEXT = Declared(name="text", datatype="BYTES", shape=(-1, 1))


@pytest.mark.parametrize(
    ("text", "declared", "shape", "dtype"),
    [
        ("seed=7", SEED, (1,), np.int64),
        ("seed=[7, 8]", SEED, (2,), np.int64),
        ("7", SEED, (1,), np.int64),
        ("state=[[[0, 1]], [[2, 3]]]", STATE, (1, 2, 1, 2), np.float32),
        ("text=a red disc", TEXT, (1, 1), np.object_),
        ('text=[["a"], ["b"]]', TEXT, (2, 1), np.object_),
    ],
)
def test_a_literal_gets_the_models_datatype_and_a_batch_dimension(
    text: str, declared: Declared, shape: tuple[int, ...], dtype: Any
) -> None:
    (array,) = tensors([text], [declared]).values()
    assert (array.shape, array.dtype) == (shape, dtype)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("é", "é"),
        ("true", "true"),
        ("1.50", "1.50"),
        ("null", "null"),
        ('"1"', "1"),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_texts_are_sent_as_they_are_written(written: str, sent: str) -> None:
    assert tensors([f"text={written}"], [TEXT])["text"].reshape(-1).tolist() == [sent.encode()]


def test_arrays_come_from_npy_npz_and_json(tmp_path: Path) -> None:
    state = np.arange(4, dtype=np.float32).reshape(2, 1, 2)
    np.save(tmp_path / "a.npy", state)
    np.savez(tmp_path / "a.npz", state=state, seed=np.array([3]))
    (tmp_path / "a.json").write_text(json.dumps(state.tolist()))
    for kind in ("npy", "npz", "json"):
        assert np.array_equal(tensors([f"state=@{tmp_path}/a.{kind}"], [STATE, SEED])["state"][0], state)
    whole = tensors([f"@{tmp_path}/a.npz"], [STATE, SEED])
    assert set(whole) == {"state", "seed"}


def test_pictures_become_pixels_as_the_model_declares_them(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 4), (255, 0, 0)).save(path)
    assert tensors([f"@{path}"], [IMAGE])["image"].shape == (1, 4, 5, 3)
    planes = tensors([f"@{path}"], [PLANES])["planes"]
    assert planes.shape == (1, 3, 4, 5)
    assert planes[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert bytes(tensors([f"@{path}"], [TEXT])["text"][0, 0]) == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "declared", "words", "code"),
    [
        ("ghost=1", SEED, "no input 'ghost'; it has seed (INT64 [-1])", ExitCode.USAGE),
        ("seed=red", SEED, "expected JSON for INT64 [-1], or @file", ExitCode.USAGE),
        ("seed=1.5", SEED, "cannot be INT64 [-1]: it has values that are not whole numbers", ExitCode.USAGE),
        ("seed=Infinity", SEED, "not whole numbers", ExitCode.USAGE),
        ("seed=99999999999999999999", SEED, "cannot be INT64 [-1]", ExitCode.USAGE),
        ("image=[[[[1, 2, 300]]]]", IMAGE, "outside 0 to 255", ExitCode.USAGE),
        ("image=[[[[1, 2, -1]]]]", IMAGE, "outside 0 to 255", ExitCode.USAGE),
        ("seed=[[1]]", SEED, "has shape [1, 1]; the model takes [-1]", ExitCode.USAGE),
        ("state=[[1]]", STATE, "has shape [1, 1, 1, 1]; the model takes [-1, 2, -1, -1]", ExitCode.USAGE),
        ("seed=@missing.npy", SEED, "missing.npy does not exist", ExitCode.NOT_FOUND),
        ("seed=@missing.csv", SEED, "of no known kind; allowed: .npy, .npz", ExitCode.USAGE),
    ],
)
def test_what_cannot_be_an_input_is_refused_with_what_can(
    text: str, declared: Declared, words: str, code: ExitCode
) -> None:
    with pytest.raises(CommandError) as caught:
        tensors([text], [declared])
    assert words in str(caught.value)
    assert caught.value.exit_code == code


def test_an_input_that_is_given_twice_is_refused() -> None:
    with pytest.raises(CommandError, match="--input seed is given twice"):
        tensors(["seed=1", "seed=2"], [SEED])


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    for kind in ("npy", "npz", "json", "png"):
        path = tmp_path / f"a.{kind}"
        path.write_text("{")
        with pytest.raises(CommandError, match=f"{path} cannot be read") as caught:
            tensors([f"image=@{path}"], [IMAGE])
        assert caught.value.exit_code == ExitCode.USAGE


def test_an_archive_without_the_input_names_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(1))
    with pytest.raises(CommandError, match=r"has no array 'seed'; it has other"):
        tensors([f"seed=@{tmp_path}/a.npz"], [SEED])


def test_parameters_are_numbers_texts_and_truths() -> None:
    given = ["steps=8", "noise=0.1", "law=kerr", "full=true", 'name="8"', "text=a=b"]
    assert parameters(given) == {
        "steps": 8,
        "noise": 0.1,
        "law": "kerr",
        "full": True,
        "name": "8",
        "text": "a=b",
    }


@pytest.mark.parametrize("text", ["steps", "=8", "steps=[1]", "steps=null", f"steps={2**63}"])
def test_other_parameters_are_refused(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parameters([text])
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_model_that_declares_nothing_gets_what_is_written(tmp_path: Path) -> None:
    Image.new("L", (5, 4), 51).save(tmp_path / "grey.png")
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float16))
    given = ["n=[1, 2]", "x=0.5", "words=a red disc", f"image=@{tmp_path}/grey.png", f"h=@{tmp_path}/a.npy"]
    found = tensors(given, [])
    assert {name: (datatype_of(array), array.shape) for name, array in found.items()} == {
        "n": ("INT64", (2,)),
        "x": ("FP32", ()),
        "words": ("BYTES", ()),
        "image": ("FP32", (4, 5)),
        "h": ("FP16", (2, 3)),
    }
    assert found["image"][0, 0] == np.float32(0.2)
    with pytest.raises(CommandError, match="does not declare its inputs; expected NAME=VALUE"):
        tensors(["7"], [])


WRITER = (
    Declared(name="text_input", datatype="BYTES", shape=(-1,)),
    Declared(name="tokens", datatype="INT64", shape=(-1, -1)),
    Declared(name="image", datatype="UINT8", shape=(-1, -1, -1, 3)),
    Declared(name="field", datatype="FP32", shape=(-1, -1, -1)),
)


def test_a_picture_and_a_text_without_a_name_go_where_only_they_can_go(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "a.png")
    found = tensors([f"@{tmp_path / 'a.png'}", "Once upon a time"], WRITER)
    assert found["image"].shape == (1, 3, 4, 3)
    assert found["text_input"].tolist() == [b"Once upon a time"]


def test_a_value_without_a_name_that_could_go_to_two_inputs_is_refused() -> None:
    two = (*WRITER, Declared(name="suffix", datatype="BYTES", shape=(-1,)))
    with pytest.raises(CommandError, match="the model has no input 'Once upon a time'"):
        tensors(["Once upon a time"], two)
    with pytest.raises(CommandError, match="the model has no input '7'"):
        tensors(["7"], WRITER)
