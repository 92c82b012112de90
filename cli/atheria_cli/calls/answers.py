"""Answers as a table, as JSON, as a file. Called by `infer` and `stream`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from rich.table import Table

from atheria_cli.calls.frames import PNG, finished_picture, frame_of
from atheria_cli.calls.inputs import Array
from atheria_cli.console import plain_table
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.output_file import check_output_file
from atheria_cli.picture import pixels

FILES: Final = (".npz", ".npy", ".json", ".png", ".txt")
TEXT_OUTPUT: Final = "text_output"
"""Of models that write, as in Triton's generate extension."""
_SHOWN: Final = 6
"""Values of a tensor in the table."""


def answer_table(outputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> Table:
    """A row an output: name, type, shape, range, first values; then the answer's parameters."""
    table = plain_table("OUTPUT", "TYPE", "SHAPE", "FROM .. TO", "VALUES")
    for name, array in outputs.items():
        table.add_row(name, str(array.dtype), str(list(array.shape)), _range(array), _first(array))
    for name, value in sorted(parameters.items()):
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name, "parameter", "", "", shown)
    return table


def text_of(outputs: Mapping[str, Array]) -> str | None:
    """What a model that writes has written; None for others."""
    array = outputs.get(TEXT_OUTPUT)
    if array is None or array.dtype != object or array.size != 1:
        return None
    return bytes(array.reshape(-1)[0]).decode(errors="replace")


def as_json(outputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs as nested lists; BYTES as texts, with what is not UTF-8 replaced; null for what JSON has no number for."""
    return {
        "outputs": {name: _plain(array) for name, array in outputs.items()},
        "parameters": {name: _number(value) for name, value in sorted(parameters.items())},
    }


def check_file(path: Path) -> None:
    """Before the call is made: raises CommandError for a name that the answer could not be saved as."""
    check_output_file("--save", path, FILES)


def save(path: Path, outputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> None:
    """All outputs (.npz, .json), the only one (.npy), the text (.txt), or the first PNG or else the first field (.png).

    Raises CommandError.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".npz":
            held: dict[str, Any] = {name: _without_objects(array) for name, array in outputs.items()}
            np.savez(path, **held)
        elif kind == ".json":
            path.write_text(json.dumps(as_json(outputs, parameters)), encoding="utf-8")
        elif kind == ".npy":
            np.save(path, _without_objects(_only(path, outputs)), allow_pickle=False)
        elif kind == ".txt":
            _save_text(path, outputs)
        else:
            _save_picture(path, outputs)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _only(path: Path, outputs: Mapping[str, Array]) -> Array:
    if len(outputs) != 1:
        raise CommandError(
            f"{path} holds one output, but the answer has {', '.join(outputs)}; name one with --want, or save as .npz",
            ExitCode.USAGE,
        )
    return next(iter(outputs.values()))


def _save_text(path: Path, outputs: Mapping[str, Array]) -> None:
    text = text_of(outputs)
    if text is None:
        raise CommandError(
            f"{path} holds a text, but the answer has no {TEXT_OUTPUT}; it has {', '.join(outputs)}: save as .npz or .json",
            ExitCode.USAGE,
        )
    path.write_text(text, encoding="utf-8")


def _save_picture(path: Path, outputs: Mapping[str, Array]) -> None:
    for array in outputs.values():
        if (png := finished_picture(array)) is not None:
            path.write_bytes(png)
            return
    if (frame := frame_of(outputs)) is not None:
        Image.fromarray(pixels(frame, float(frame.min()), float(frame.max()))).save(path)
        return
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    draws = "; a model that can draw its boxes does with -p draw=true" if "boxes" in outputs else ""
    raise CommandError(
        f"{path}: no output is a picture (PNG bytes, [H, W], or [H, W, 3]); the answer has {shapes}{draws}",
        ExitCode.USAGE,
    )


def _without_objects(array: Array) -> Array:
    """numpy's own fixed-width bytes, so that no file needs pickle."""
    return array.astype(np.bytes_) if array.dtype == object else array


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(array: Array) -> Any:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        plain = array.astype(object)
        plain[~np.isfinite(array)] = None
        return plain.tolist()
    if array.dtype != object:
        return array.tolist()
    texts: Sequence[str] = [bytes(one).decode(errors="replace") for one in array.reshape(-1)]
    return np.array(texts, dtype=object).reshape(array.shape).tolist()


def _range(array: Array) -> str:
    if array.dtype.kind not in "fiu" or not array.size:
        return ""
    return f"{array.min():.4g} .. {array.max():.4g}"


def _first(array: Array) -> str:
    flat = array.reshape(-1)[:_SHOWN]
    if array.dtype == object:
        words = ", ".join(_short(bytes(one)) for one in flat)
    else:
        words = ", ".join(f"{one:.4g}" if array.dtype.kind == "f" else str(one) for one in flat)
    return f"{words}, …" if array.size > _SHOWN else words


def _short(value: bytes) -> str:
    if value.startswith(PNG):
        return f"a PNG of {len(value)} bytes"
    text = value.decode(errors="replace")
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
