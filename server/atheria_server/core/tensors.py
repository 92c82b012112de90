"""Datatypes of the Open Inference Protocol and their bytes; pure functions over numpy.

Used by both transports and by the shared-memory codec. Little-endian throughout, as the protocol says.

numpy has no bfloat16. A BF16 array has the dtype `BF16` here, a structure of its 16 bits: it is copied, sliced and
concatenated like any other and cannot be calculated with by mistake. `float32_of` and `bfloat16_of` convert.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BYTES: Final = "BYTES"
BF16: Final = np.dtype([("bfloat16", "<u2")])
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
    "BF16": BF16,
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """Bytes, shape and datatype do not fit together; the message names the tensor."""


def datatype_of(array: npt.NDArray[Any]) -> str:
    """OIP name of the array's type. Raises TensorError for one that the protocol lacks."""
    dtype = array.dtype
    name = _NAMES.get(dtype)
    if name is not None:
        return name
    if dtype.kind in "OSU":
        return BYTES
    if dtype.name == "bfloat16":  # of ml_dtypes, which JAX uses
        return "BF16"
    name = _NAMES.get(dtype.newbyteorder("<"))
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
    datatype = datatype_of(array)
    if datatype == "BF16" and array.dtype != BF16:
        array = array.view(BF16)
    if array.dtype.kind != "O":
        array = np.ascontiguousarray(array, dtype=DTYPES[datatype]).reshape(array.shape)
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
        array = bfloat16_of(values) if datatype == "BF16" else np.array(values, dtype=DTYPES[datatype])
        return array.reshape(tuple(shape))
    except (OverflowError, ValueError, TypeError) as error:
        raise TensorError(f"tensor {name!r} has elements that are not {datatype}: {error}") from error


def to_values(array: npt.NDArray[Any]) -> list[Any]:
    """A flat list for JSON: numbers, booleans, or texts (bytes that are not UTF-8 become replacement signs)."""
    if array.dtype.kind == "O":
        return [_as_bytes(value).decode(errors="replace") for value in array.ravel()]
    values: list[Any] = np.ravel(float32_of(array) if array.dtype == BF16 else array).tolist()
    return values


def float32_of(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A BF16 array as float32; exact."""
    return (array.view("<u2").astype("<u4") << 16).view("<f4")


def bfloat16_of(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers as a BF16 array, rounded to the nearest (ties to even) as float32 is rounded by hardware."""
    exact = np.asarray(array, "<f4")
    bits = exact.view("<u4")
    rounded = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16
    return np.where(np.isnan(exact), (bits >> 16) | 0x40, rounded).astype("<u2").view(BF16)


def element_count(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Elements of the shape. Raises TensorError for an unknown datatype or a negative or huge dimension."""
    if datatype != BYTES and datatype not in DTYPES:
        raise TensorError(f"tensor {name!r} has datatype {datatype!r}; allowed: {', '.join(DTYPES)}, {BYTES}")
    if shape and min(shape) < 0:
        raise TensorError(f"tensor {name!r} has shape {list(shape)}; expected dimensions of 0 or more")
    count = math.prod(shape)
    # numpy also refuses [0, 2**62]: what it may have beside an empty dimension counts as well
    if math.prod(filter(None, shape)) > 1 << 40 or len(shape) > 32:
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
