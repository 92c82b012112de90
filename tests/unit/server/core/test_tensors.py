"""Bytes, shapes and datatypes of the protocol."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atheria_server.core.tensors import (
    BF16,
    BYTES,
    DTYPES,
    TensorError,
    bfloat16_of,
    datatype_of,
    float32_of,
    from_bytes,
    from_values,
    to_array,
    to_bytes,
    to_values,
)

ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(DTYPES[name], hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@given(ARRAYS)
def test_every_numeric_array_survives_the_way_to_bytes_and_back(array: np.ndarray) -> None:
    back = from_bytes("x", datatype_of(array), array.shape, to_bytes(to_array(array)))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_byte_strings_survive_the_way_to_bytes_and_back(values: list[bytes]) -> None:
    array = from_values("x", BYTES, [len(values)], values)
    assert datatype_of(array) == BYTES
    assert from_bytes("x", BYTES, [len(values)], to_bytes(array)).tolist() == values


@given(st.binary(max_size=40), st.lists(st.integers(0, 5), max_size=3), st.sampled_from([*DTYPES, BYTES]))
def test_arbitrary_bytes_give_an_array_of_the_shape_or_a_tensor_error(
    raw: bytes, shape: list[int], datatype: str
) -> None:
    with contextlib.suppress(TensorError):
        assert from_bytes("x", datatype, shape, raw).shape == tuple(shape)


def test_texts_become_utf8_byte_strings() -> None:
    assert to_array(["ä", "b"]).tolist() == ["ä".encode(), b"b"]
    assert to_array(np.array(["x"])).dtype == object


def test_big_endian_and_strided_arrays_are_written_little_endian_and_contiguous() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    assert to_bytes(to_array(array)) == np.ascontiguousarray(array).astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "words"),
    [
        ("FP32", [2], b"1234", "needs 8 bytes, got 4"),
        ("FP32", [-1], b"", "dimensions of 0 or more"),
        ("FP99", [1], b"", "FP99"),
        ("FP32", [2**30, 2**30], b"", "too large"),
        (BYTES, [2], b"\x01\0\0\0a", "needs 2 elements, got 1"),
        (BYTES, [1], b"\x09\0\0\0a", "truncated"),
    ],
)
def test_wrong_bytes_are_refused_with_the_tensors_name(
    datatype: str, shape: list[int], raw: bytes, words: str
) -> None:
    with pytest.raises(TensorError, match="'colour'") as refused:
        from_bytes("colour", datatype, shape, raw)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("datatype", "values"), [("UINT8", [300]), ("INT32", ["a"]), ("INT8", [-129]), ("FP32", [[1], [1, 2]])]
)
def test_values_beyond_the_datatype_are_refused(datatype: str, values: list[object]) -> None:
    with pytest.raises(TensorError, match="'x'"):
        from_values("x", datatype, [len(values)], values)


def test_a_type_that_the_protocol_lacks_is_refused() -> None:
    with pytest.raises(TensorError, match="complex64"):
        datatype_of(np.zeros(1, np.complex64))


def test_bfloat16_is_rounded_as_ml_dtypes_does_and_widened_exactly() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    edges = [0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.3895314e38, 3.4e38, 1e-40, np.inf, -np.inf, np.nan]
    values = np.array(edges, np.float32)
    theirs = values.astype(ml_dtypes.bfloat16)
    mine = bfloat16_of(values)
    assert mine.tobytes() == theirs.tobytes()
    np.testing.assert_array_equal(float32_of(mine), theirs.astype(np.float32))
    assert to_array(theirs).dtype == BF16
    assert datatype_of(theirs) == "BF16"


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 2)])
@pytest.mark.parametrize("datatype", [*DTYPES, BYTES])
def test_scalars_and_empty_tensors_go_through_every_datatype(datatype: str, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    array = from_values("x", datatype, shape, [b"1"] * count if datatype == BYTES else [1] * count)
    back = from_bytes("x", datatype, shape, to_bytes(to_array(array)))
    assert (datatype_of(back), back.shape, back.tolist()) == (datatype, shape, array.tolist())
    assert to_values(back) == (["1"] if datatype == BYTES else [1]) * count
