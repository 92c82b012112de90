"""Tensors of the protocol as numpy, torch or plain values, and what hooks return as tensors again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atheria_server.core.errors import FailedError
from atheria_server.core.tensors import BF16, TensorError, bfloat16_of, datatype_of
from atheria_server.engine.plain_tensors import as_numpy, as_outputs, as_torch, as_values

torch = pytest.importorskip("torch")


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def test_numpy_gets_the_same_arrays_and_bfloat16_as_float32() -> None:
    x = np.ones(3, np.float16)
    given = as_numpy({"x": x, "b": bfloat16_of([1.5, -2.0])})
    assert given["x"] is x
    assert given["b"].dtype == np.float32
    assert given["b"].tolist() == [1.5, -2.0]


def test_torch_shares_the_arrays_memory_also_of_read_only_ones_and_without_a_warning() -> None:
    x = np.arange(4, dtype=np.int32)
    tensors = as_torch({"x": x, "r": read_only(np.zeros(2, np.float16)), "s": np.array([b"a"], object)})
    assert tensors["x"].data_ptr() == x.ctypes.data
    assert tensors["r"].dtype == torch.float16
    assert tensors["s"].tolist() == [b"a"]


def test_torch_gets_bfloat16_as_its_own_and_gives_it_back() -> None:
    array = read_only(bfloat16_of([[1.5, float("inf")]]))
    tensor = as_torch({"x": array})["x"]
    assert tensor.dtype == torch.bfloat16
    assert tensor.data_ptr() == array.ctypes.data
    back = as_outputs({"y": tensor})["y"]
    assert back.dtype == BF16
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [("bool", "BOOL"), ("uint8", "UINT8"), ("int64", "INT64"), ("float16", "FP16"), ("float64", "FP64")],
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_torch_tensors_of_any_shape_are_outputs(dtype: str, datatype: str, shape: tuple[int, ...]) -> None:
    outputs = as_outputs(torch.ones(shape, dtype=getattr(torch, dtype)))
    assert datatype_of(outputs["output"]) == datatype
    assert outputs["output"].shape == shape


def test_torch_tensors_with_gradients_views_and_lists_of_them_are_outputs() -> None:
    x = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    outputs = as_outputs({"t": x.T, "list": [x[0], x[1]], "b": x.to(torch.bfloat16).T})
    assert outputs["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert outputs["list"].shape == (2, 3)
    assert (datatype_of(outputs["b"]), outputs["b"].shape) == ("BF16", (3, 2))


def test_numbers_texts_and_lists_are_outputs() -> None:
    outputs = as_outputs({"n": 3, "f": 0.5, "t": "ä", "l": ["a", b"\xff\0"], "o": True})
    assert {name: datatype_of(a) for name, a in outputs.items()} == {
        "n": "INT64",
        "f": "FP64",
        "t": "BYTES",
        "l": "BYTES",
        "o": "BOOL",
    }
    assert outputs["t"].item() == "ä".encode()
    assert outputs["l"].tolist() == [b"a", b"\xff\0"]


@pytest.mark.parametrize("value", [None, {"a": 1}, [{"a": 1}], object(), [[1], [1, 2]]])
def test_what_is_no_tensor_is_named_with_what_to_do(value: Any) -> None:
    with pytest.raises(FailedError, match=r"output 'x' holds .*own route"):
        as_outputs({"x": value})


def test_a_type_that_the_protocol_lacks_is_named() -> None:
    with pytest.raises(FailedError, match=r"output 'x': datatype complex64"):
        as_outputs({"x": torch.ones(1, dtype=torch.complex64)})


def test_values_are_what_a_json_body_would_hold() -> None:
    text = np.array([["ä".encode()]], object)
    assert as_values({"t": text, "n": np.array(2), "b": bfloat16_of([1.5])}) == {
        "t": [["ä"]],
        "n": 2,
        "b": [1.5],
    }
    with pytest.raises(TensorError, match="UTF-8"):
        as_values({"t": np.array([b"\xff"], object)})
