"""What a person writes after --input and --parameter, as tensors and parameters of a call. Called by `infer`, `stream`, `bench`.

`NAME=VALUE`: VALUE is JSON (`7`, `[[1, 2]]`, `"a text"`), a bare text for BYTES, or `@file` with .npy, .npz, .json, .txt or a picture.
A model that declares no inputs, as plain LitAPIs do, gets what is written as it is: whole numbers as INT64, others as FP32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from atheria_cli.errors import CommandError, ExitCode

Array = npt.NDArray[Any]
PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_FILES: Final = (".npy", ".npz", ".json", ".txt", *PICTURES)
_CHANNELS: Final = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An input as the model's metadata declares it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 = any; the batch first."""

    @property
    def is_open(self) -> bool:
        """The model does not say what it takes."""
        return not self.datatype


def tensors(given: Sequence[str], declared: Sequence[Declared]) -> dict[str, Array]:
    """Arrays by name, in the declared datatype and number of dimensions; a missing batch dimension is added.

    `VALUE` without a name is the model's only input, or the only one that takes its kind: a picture in a file, or a text. Raises CommandError (USAGE, NOT_FOUND for files) naming what is allowed.
    """
    by_name = {one.name: one for one in declared}
    found: dict[str, Array] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals and not declared:
            by_name[name] = Declared(name=name, datatype="", shape=())
        if (not equals or name not in by_name) and text.startswith("@") and text.endswith(".npz"):
            found |= {key: _fitted(by_name, key, array) for key, array in _archive(Path(text[1:])).items()}
            continue
        if name not in by_name and (only := _only_place(text, declared)):
            name, value = only, text
        _known(by_name, name, text)
        if name in found:
            raise CommandError(f"--input {name} is given twice; give it once", ExitCode.USAGE)
        found[name] = _fitted(by_name, name, _value(value, by_name[name]))
    return found


def parameters(given: Sequence[str]) -> dict[str, str | int | float | bool]:
    """Call parameters: `steps=8` is a number, `law=kerr` a text, `noise=0.1`, `grounded=true`. Raises CommandError."""
    found: dict[str, str | int | float | bool] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandError(f"--parameter is {text!r}; expected NAME=VALUE, e.g. steps=8", ExitCode.USAGE)
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        if not isinstance(read, str | int | float | bool) or (
            isinstance(read, int) and not -(2**63) <= read < 2**63
        ):
            raise CommandError(
                f"--parameter {name} is {value}; allowed: a text, a number of at most 64 bits, true or false",
                ExitCode.USAGE,
            )
        found[name] = read
    return found


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type."""
    return str(np_to_triton_dtype(array.dtype))


def _only_place(text: str, declared: Sequence[Declared]) -> str:
    """The input that a value without a name can only be meant for; empty = none or several."""
    if len(declared) == 1 and "=" not in text:
        return declared[0].name
    if text.startswith("@") and Path(text).suffix.lower() in PICTURES:
        planes = [one for one in declared if len(one.shape) >= 3]
        places = [one for one in planes if {one.shape[-1], one.shape[-3]} & {*_CHANNELS}] or planes
    elif not text.startswith("@") and "=" not in text and " " in text:
        places = [one for one in declared if one.datatype == "BYTES"]
    else:
        places = []
    return places[0].name if len(places) == 1 else ""


def _known(by_name: Mapping[str, Declared], name: str, text: str) -> None:
    if name not in by_name and not by_name:
        raise CommandError(
            f"--input {text!r}: the model does not declare its inputs; expected NAME=VALUE", ExitCode.USAGE
        )
    if name not in by_name:
        known = ", ".join(f"{one.name} ({one.datatype} {list(one.shape)})" for one in by_name.values())
        raise CommandError(
            f"--input {text!r}: the model has no input {name!r}; it has {known}", ExitCode.USAGE
        )


def _value(value: str, declared: Declared) -> Any:
    if value.startswith("@"):
        return _file(Path(value[1:]), declared)
    try:
        read = json.loads(value)
    except ValueError:
        if declared.is_open or declared.datatype == "BYTES":
            return value
        raise CommandError(
            f"--input {declared.name} is {value!r}; expected JSON for {declared.datatype} {list(declared.shape)}, or @file with "
            f"{', '.join(_FILES)}",
            ExitCode.USAGE,
        ) from None
    # Of a text only what JSON marks as one is read: `1.50` and `true` are texts as they stand.
    is_text = declared.datatype == "BYTES" and not isinstance(read, str | list)
    return value if is_text or isinstance(read, dict) else read


def _file(path: Path, declared: Declared) -> Any:
    kind = path.suffix.lower()
    try:
        if kind == ".npy":
            return np.load(path, allow_pickle=False)
        if kind == ".npz":
            held = _archive(path)
            if declared.name in held:
                return held[declared.name]
            raise CommandError(
                f"{path} has no array {declared.name!r}; it has {', '.join(held) or 'none'}", ExitCode.USAGE
            )
        if kind == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        if kind == ".txt":
            return path.read_text(encoding="utf-8").rstrip("\n")
        if kind in PICTURES:
            return _picture(path, declared)
    except FileNotFoundError:
        raise CommandError(f"--input {declared.name}: {path} does not exist", ExitCode.NOT_FOUND) from None
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise CommandError(
            f"--input {declared.name}: {path} cannot be read: {error}", ExitCode.USAGE
        ) from error
    raise CommandError(
        f"--input {declared.name}: {path} is of no known kind; allowed: {', '.join(_FILES)}", ExitCode.USAGE
    )


def _archive(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except FileNotFoundError:
        raise CommandError(f"--input: {path} does not exist", ExitCode.NOT_FOUND) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"--input: {path} cannot be read as .npz: {error}", ExitCode.USAGE) from error


def _picture(path: Path, declared: Declared) -> Array | bytes:
    """The file itself for BYTES; else its pixels, channels where the model declares them (else last, if any), floats from 0 to 1."""
    if declared.datatype == "BYTES":
        return path.read_bytes()
    sizes = declared.shape
    last, first = (sizes[-1], sizes[-3]) if len(sizes) >= 3 else (-1, -1)
    channels = last if last in _CHANNELS else first if first in _CHANNELS else 3
    with Image.open(path) as image:
        if declared.is_open:
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"), np.float32) / 255
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if last not in _CHANNELS:
        pixels = np.moveaxis(pixels, -1, 0)
    return pixels if declared.datatype.startswith(("UINT", "INT")) else pixels.astype(np.float32) / 255


def _fitted(by_name: Mapping[str, Declared], name: str, value: Any) -> Array:
    _known(by_name, name, name)
    declared = by_name[name]
    try:
        array = _of_datatype(value, declared.datatype)
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(
            f"--input {name} cannot be {declared.datatype} {list(declared.shape)}: {error}", ExitCode.USAGE
        ) from error
    if declared.is_open:
        return array
    while array.ndim < len(declared.shape):
        array = array[None]
    for size, wanted in zip(array.shape, declared.shape, strict=False):
        if array.ndim != len(declared.shape) or wanted not in (-1, size):
            raise CommandError(
                f"--input {name} has shape {list(array.shape)}; the model takes {list(declared.shape)} (-1 = any)",
                ExitCode.USAGE,
            )
    return array


def _natural(array: Array) -> str:
    if array.dtype.kind in "OSU":
        return "BYTES"
    if array.dtype.kind == "f":
        return "FP32" if array.dtype == np.float64 else datatype_of(array)
    return datatype_of(array)


def _of_datatype(value: Any, datatype: str) -> Array:
    if not datatype:
        datatype = _natural(np.asarray(value))
    if datatype == "BYTES":
        held = np.asarray(value, dtype=object)
        flat = [one if isinstance(one, bytes) else str(one).encode() for one in held.reshape(-1)]
        return np.array([*flat, b""], dtype=object)[:-1].reshape(held.shape)
    dtype = np.float32 if datatype == "BF16" else triton_to_np_dtype(datatype)
    array = np.asarray(value)
    if np.dtype(dtype).kind in "iu":
        _check_whole(array, np.iinfo(dtype))
    return array.astype(dtype)


def _check_whole(array: Array, limits: np.iinfo[Any]) -> None:
    """Whether all fit an integer type: numpy would wrap them silently. Raises ValueError."""
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == array.round())):
        raise ValueError("it has values that are not whole numbers")
    if array.size and not (limits.min <= array.min() and array.max() <= limits.max):
        raise ValueError(f"it has values outside {limits.min} to {limits.max}")
