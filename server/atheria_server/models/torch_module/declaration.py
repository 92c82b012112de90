"""`atheria.json`: the tensors that a module's `forward` takes and gives. Pure; read in the front and in the worker.

    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, "H", "W"]}],
     "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
     "sizes": {"H": {"min": 8, "max": 512, "default": 64}}}

A shape begins with the batch, -1. Then: a number, a name (equal wherever it stands), or -1 (any). `minimum` and
`maximum` of an input bound its values, for indices above all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from atheria_server.models.torch_program.dimensions import Dimension
from atheria_server.models.torch_program.tensor_signature import (
    ANY,
    Signature,
    SignatureError,
    SizeRange,
    Tensor,
    signature_of,
)
from atheria_server.sources.errors import UnusableSourceError

FILE: Final = "atheria.json"
_KEYS: Final = ("inputs", "outputs", "sizes")
_TENSOR_KEYS: Final = ("name", "datatype", "shape", "minimum", "maximum")
_SIZE_KEYS: Final = ("min", "max", "default")


def read_declaration(folder: Path) -> Signature:
    """Raises UnusableSourceError naming the key."""
    path = folder / FILE
    if not path.exists():
        raise UnusableSourceError(
            f'{folder} has no {FILE}; put one there such as {{"inputs": [{{"name": "x", "datatype": "FP32", '
            '"shape": [-1, 4]}], "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]}'
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableSourceError(f"{FILE} cannot be read: {error}") from error
    return parse_declaration(found)


def parse_declaration(document: Any) -> Signature:
    """Raises UnusableSourceError naming the key."""
    _check_keys("", document, _KEYS)
    sizes = document.get("sizes", {})
    if not isinstance(sizes, Mapping):
        raise UnusableSourceError(f"{FILE}: sizes is {sizes!r}; expected an object of names")
    try:
        return signature_of(
            tuple(_tensor(f"inputs[{i}]", entry) for i, entry in enumerate(_list(document, "inputs"))),
            tuple(_tensor(f"outputs[{i}]", entry) for i, entry in enumerate(_list(document, "outputs"))),
            {name: _size(f"sizes.{name}", entry) for name, entry in sizes.items()},
        )
    except SignatureError as error:
        raise UnusableSourceError(f"{FILE}: {error}") from error


def _tensor(key: str, entry: Any) -> Tensor:
    _check_keys(key, entry, _TENSOR_KEYS)
    name, datatype, shape = (entry.get(part) for part in ("name", "datatype", "shape"))
    if not isinstance(name, str) or not name:
        raise UnusableSourceError(f"{FILE}: {key}.name is {name!r}; expected a text")
    if not isinstance(shape, list) or not shape or shape[0] != -1:
        raise UnusableSourceError(f"{FILE}: {key}.shape is {shape!r}; expected a list that begins with -1")
    bounds = {part: entry.get(part) for part in ("minimum", "maximum")}
    for part, value in bounds.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UnusableSourceError(f"{FILE}: {key}.{part} is {value!r}; expected a number")
    return Tensor(
        name=name,
        datatype=str(datatype),
        dimensions=(ANY, *(_dimension(f"{key}.shape", size) for size in shape[1:])),
        **bounds,
    )


def _dimension(key: str, size: Any) -> Dimension | None:
    if isinstance(size, str) and size.isidentifier():
        return Dimension(size, 1, 0)
    if size == -1:
        return ANY
    if _is_size(size):
        return Dimension(offset=size)
    raise UnusableSourceError(f"{FILE}: {key} holds {size!r}; expected a number from 1, -1 or a name")


def _size(key: str, entry: Any) -> SizeRange:
    _check_keys(key, entry, _SIZE_KEYS)
    low, high = entry.get("min", 1), entry.get("max")
    default = entry.get("default", low)
    if not _is_size(low) or not _is_size(default) or not (high is None or _is_size(high)):
        raise UnusableSourceError(f"{FILE}: {key} is {entry!r}; expected whole numbers from 1")
    if not low <= default <= (default if high is None else high):
        raise UnusableSourceError(f"{FILE}: {key} is {entry!r}; expected min <= default <= max")
    return SizeRange(low=low, high=high, default=default)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise UnusableSourceError(f"{FILE}: {key} is {found!r}; expected a list of tensors")
    return found


def _check_keys(key: str, entry: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(entry, Mapping):
        raise UnusableSourceError(f"{FILE}: {key or 'the file'} is {entry!r}; expected an object")
    if unknown := sorted(set(entry) - set(allowed)):
        raise UnusableSourceError(
            f"{FILE}: unknown key {(key + '.' if key else '') + unknown[0]!r}; allowed: {', '.join(allowed)}"
        )
