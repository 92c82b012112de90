"""The tensors of an exported program: raw bytes (torch 2.9 and later), or a nested file that only tensors may be in.

Objects that would have to be unpickled are refused by name. Worker only.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from atheria_server.models.torch_program.archive import Archive, ProgramError
from atheria_server.models.torch_program.graph import torch_dtype
from atheria_server.sources.weights import check_finite

_OLD: Final = ("serialized_state_dict.pt", "serialized_constants.pt")
_FOLDERS: Final = (
    ("data/weights/", "model_weights_config.json", "model.pt"),
    ("data/constants/", "model_constants_config.json", "model.pt"),
)


def read_tensors(archive: Archive) -> dict[str, Tensor]:
    """Parameters, buffers and constants by name. Raises ProgramError for damage, pickles and values that are not finite."""
    tensors: dict[str, Tensor] = {}
    if archive.is_old:
        for name in _OLD:
            tensors |= _nested(archive, name)
    else:
        _check_byte_order(archive)
        for folder, configuration, legacy in _FOLDERS:
            if folder + configuration in archive.names:
                tensors |= _raw(archive, folder, archive.document(folder + configuration))
            elif folder + legacy in archive.names:
                tensors |= _nested(archive, folder + legacy)
    for name, tensor in tensors.items():
        check_finite(archive.name, name, tensor)
    return tensors


def _raw(archive: Archive, folder: str, document: Mapping[str, Any]) -> dict[str, Tensor]:
    storages: dict[str, bytearray] = {}
    found: dict[str, Tensor] = {}
    try:
        for name, entry in document["config"].items():
            file, meta = str(entry["path_name"]), entry["tensor_meta"]
            if entry["use_pickle"] or not file.startswith(("weight_", "tensor_")) or meta is None:
                raise ProgramError(
                    f"{archive.name}: {name!r} is a pickled object, which can hold code; "
                    "export a model whose weights are plain tensors"
                )
            # weights that share memory share it here
            if file not in storages:
                storages[file] = bytearray(archive.read(folder + file))
            storage = storages[file]
            found[name] = _strided(archive, name, storage, meta)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProgramError(
            f"{archive.name}: {folder} is damaged ({error!r}); export the program again"
        ) from error
    return found


def _strided(archive: Archive, name: str, storage: bytearray, meta: Mapping[str, Any]) -> Tensor:
    dtype = torch_dtype(meta["dtype"])
    sizes, strides = ([_number(size) for size in meta[key]] for key in ("sizes", "strides"))
    flat = torch.frombuffer(storage, dtype=dtype) if storage else torch.empty(0, dtype=dtype)
    try:
        # torch checks that it stays inside of the storage
        return torch.as_strided(flat, sizes, strides, _number(meta["storage_offset"]))
    except RuntimeError as error:
        raise ProgramError(
            f"{archive.name}: {name!r} has {len(storage)} bytes, too few for its shape {sizes}; copy the file again"
        ) from error


def _nested(archive: Archive, name: str) -> dict[str, Tensor]:
    data = archive.read(name)
    if not data:
        return {}
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a file that was made to do harm may raise anything
        raise ProgramError(
            f"{archive.name}: {name} holds more than tensors, or is damaged; "
            "export the program again, with weights that are plain tensors"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ProgramError(f"{archive.name}: {name} is no table of tensors; export the program again")
    return {str(key): value.detach() for key, value in found.items()}


def _number(value: Any) -> int:
    number = value["as_int"]
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{number!r} is no whole number")
    return number


def _check_byte_order(archive: Archive) -> None:
    if "byteorder" in archive.names and archive.read("byteorder") != b"little":
        raise ProgramError(f"{archive.name} was written on a big-endian machine; export it on another one")
