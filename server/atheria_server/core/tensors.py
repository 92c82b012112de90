"""Datatypes of the Open Inference Protocol and their bytes; pure functions over numpy.

Used by both transports and by the shared-memory codec. Little-endian throughout, as the protocol says.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BYTES: Final = "BYTES"
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """Bytes, shape and datatype do not fit together; the message names the tensor."""


def datatype_of(array: npt.NDArray[Any]) -> str:
    """OIP name of the array's type. Raises TensorError for one that the protocol lacks."""
    if array.dtype.kind in "OSU":
        return BYTES
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise TensorError(
            f"datatype {array.dtype} is not in the protocol; allowed: {', '.join(DTYPES)}, {BYTES}"
        )
    return name


def to_array(value: object) -> npt.NDArray[Any]:
    """Any array-like as an array that `to_bytes` can write: contiguous, little-endian, BYTES as objects."""
    array = np.asarray(value)
    if array.dtype.kind in "SU":
        array = np.array([_as_bytes(v) for v in array.ravel()], dtype=object).reshape(array.shape)
    if array.dtype.kind != "O":
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    datatype_of(array)
    return array


def to_bytes(array: npt.NDArray[Any]) -> bytes:
    """Raw contents; BYTES elements are each a uint32 length and the bytes."""
    if array.dtype.kind == "O":
        parts = [_as_bytes(value) for value in array.ravel()]
        return b"".join(_LENGTH.pack(len(part)) + part for part in parts)
    return array.tobytes()


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> npt.NDArray[Any]:
    """A read-only view of `raw` (a copy for BYTES). Raises TensorError naming the tensor."""
    count = element_count(name, datatype, shape)
    if datatype == BYTES:
        return np.array([*_split_bytes(name, bytes(raw), count), None], dtype=object)[:-1].reshape(
            tuple(shape)
        )
    dtype = DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        raise TensorError(
            f"tensor {name!r} of {datatype} {list(shape)} needs {count * dtype.itemsize} bytes, got {len(raw)}"
        )
    return np.frombuffer(raw, dtype=dtype, count=count).reshape(tuple(shape))


def from_values(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> npt.NDArray[Any]:
    """An array from a flat list of numbers, booleans or bytes. Raises TensorError naming the tensor."""
    count = element_count(name, datatype, shape)
    if len(values) != count:
        raise TensorError(f"tensor {name!r} of shape {list(shape)} needs {count} elements, got {len(values)}")
    try:
        if datatype == BYTES:
            items = [_as_bytes(value) for value in values]
            return np.array([*items, None], dtype=object)[:-1].reshape(tuple(shape))
        return np.array(values, dtype=DTYPES[datatype]).reshape(tuple(shape))
    except (OverflowError, ValueError, TypeError) as error:
        raise TensorError(f"tensor {name!r} has elements that are not {datatype}: {error}") from error


def element_count(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Elements of the shape. Raises TensorError for an unknown datatype or a negative or huge dimension."""
    if datatype != BYTES and datatype not in DTYPES:
        raise TensorError(f"tensor {name!r} has datatype {datatype!r}; allowed: {', '.join(DTYPES)}, {BYTES}")
    if any(n < 0 for n in shape):
        raise TensorError(f"tensor {name!r} has shape {list(shape)}; expected dimensions of 0 or more")
    count = math.prod(shape)
    if count > 1 << 40 or len(shape) > 32:
        raise TensorError(f"tensor {name!r} has shape {list(shape)}, which is too large")
    return count


def _split_bytes(name: str, raw: bytes, count: int) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw) or at + 4 + (length := _LENGTH.unpack_from(raw, at)[0]) > len(raw):
            raise TensorError(f"BYTES tensor {name!r} is truncated after {len(parts)} elements")
        parts.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    if len(parts) != count:
        raise TensorError(f"BYTES tensor {name!r} needs {count} elements, got {len(parts)}")
    return parts


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode()
