"""Calls are checked against the declared tensors before they are queued; what passes can be computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atheria_server.core.tensors import bfloat16_of
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.torch_program.dimensions import Dimension
from atheria_server.models.torch_program.tensor_signature import (
    ANY,
    SignatureError,
    SizeRange,
    Tensor,
    signature_of,
)

B = Dimension("b", 1, 0)
X = Tensor(name="x", datatype="FP32", dimensions=(B, Dimension(offset=2), Dimension("s", 2, 0)))
MASK = Tensor(name="mask", datatype="BOOL", dimensions=(B, Dimension("s", 1, 0), ANY))
IDS = Tensor(name="ids", datatype="INT64", dimensions=(B,), minimum=0, maximum=9)
Y = Tensor(name="y", datatype="FP32", dimensions=(B, Dimension("s", 1, 0)))
SIZES = {"b": SizeRange(low=1, high=4, default=2), "s": SizeRange(low=2, high=8, default=3)}


@pytest.fixture
def signature() -> Any:
    return signature_of((X, MASK, IDS), (Y,), SIZES)


def call(rows: int = 2, size: int = 3) -> dict[str, Any]:
    return {
        "x": np.zeros((rows, 2, 2 * size), np.float32),
        "mask": np.ones((rows, size, 7), bool),
        "ids": np.full(rows, 9),
    }


def test_a_call_that_fits_is_taken_and_batches_with_its_like(signature: Any) -> None:
    valid = signature.check(call(), {})
    assert valid.rows == 2
    assert list(valid.inputs) == ["x", "mask", "ids"]
    assert valid.batch_key == signature.check(call(rows=3), {}).batch_key
    assert valid.batch_key != signature.check(call(size=4), {}).batch_key


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": np.zeros((2, 2, 5), np.float32)}, ("'x'", "[2, 2, 5]", "[b, 2, 2*s]", "s from 2 to 8")),
        ({"x": np.zeros((2, 3, 6), np.float32)}, ("[2, 3, 6]",)),
        ({"x": np.zeros((2, 2), np.float32)}, ("[2, 2]",)),
        ({"x": np.zeros((2, 2, 18), np.float32)}, ("[2, 2, 18]", "to 8")),
        ({"x": np.zeros((2, 2, 2), np.float32)}, ("[2, 2, 2]", "from 2")),
        ({"x": np.zeros((2, 2, 6))}, ("FP64", "expected FP32")),
        ({"x": np.zeros((0, 2, 6), np.float32)}, ("no row",)),
        ({"mask": np.ones((2, 4, 7), bool)}, ("'mask'", "s is 4", "say 3")),
        ({"mask": np.ones((3, 3, 7), bool)}, ("'mask' has 3 rows, but 'x' has 2",)),
        ({"ids": np.array([0, 10])}, ("'ids' holds 10", "at most 9")),
        ({"ids": np.array([-1, 9])}, ("'ids' holds -1", "at least 0")),
        ({"ids": np.zeros((2, 1), np.int64)}, ("'ids' has shape [2, 1]", "[b]")),
        ({"other": np.zeros(2)}, ("'other'", "x, mask, ids")),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_what_does(
    signature: Any, changed: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        signature.check(call() | changed, {})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_missing_inputs_and_parameters_are_named(signature: Any) -> None:
    given = call()
    del given["mask"]
    with pytest.raises(InvalidRequestError, match="'mask' is missing"):
        signature.check(given, {})
    with pytest.raises(InvalidRequestError, match="unknown parameter 'steps'"):
        signature.check(call(), {"steps": 1})


def test_a_value_that_is_no_number_is_out_of_bounds() -> None:
    bounded = Tensor(name="x", datatype="FP32", dimensions=(B,), minimum=0.0)
    signature = signature_of((bounded,), (Y,), {})
    with pytest.raises(InvalidRequestError, match="holds nan"):
        signature.check({"x": np.array([np.nan], np.float32)}, {})


def test_warm_up_and_golden_calls_pass_their_own_check(signature: Any) -> None:
    warm = [*signature.calls([], 3), *signature.calls([(2, 8)], 1)]
    golden = signature.golden_calls([(2, 8), (2, 10)], 5)
    assert [one.inputs["x"].shape for one in warm] == [(3, 2, 6), (1, 2, 8)]
    assert signature.default_shapes() == [(2, 6)]
    assert [one.inputs["x"].shape[2] for one in golden] == [8, 10, 8, 10, 8]
    for one in (*warm, *golden):
        signature.check(one.inputs, one.parameters)
    assert np.array_equal(golden[0].inputs["x"], signature.golden_calls([(2, 8), (2, 10)], 5)[0].inputs["x"])
    assert golden[0].inputs["x"].std() > 0
    with pytest.raises(InvalidRequestError, match=r"\[1, 3, 8\]"):
        signature.calls([(3, 8)], 1)


def test_bfloat16_is_sampled_and_checked() -> None:
    half = Tensor(name="x", datatype="BF16", dimensions=(B, Dimension(offset=3)))
    signature = signature_of((half,), (Y,), {})
    signature.check({"x": bfloat16_of(np.ones((1, 3)))}, {})
    signature.check(signature.golden_calls([], 1)[0].inputs, {})


def test_the_metadata_has_minus_one_where_a_size_varies(signature: Any) -> None:
    assert [(t.name, t.shape) for t in signature.metadata().inputs] == [
        ("x", (-1, 2, -1)),
        ("mask", (-1, -1, -1)),
        ("ids", (-1,)),
    ]


def test_rows_of_a_fixed_batch_are_known() -> None:
    fixed = Dimension(offset=3)
    signature = signature_of(
        (Tensor(name="x", datatype="FP32", dimensions=(fixed,)),),
        (Tensor(name="y", datatype="FP32", dimensions=(fixed,)),),
        {},
    )
    assert (signature.batch_low, signature.batch_high) == (3, 3)
    assert signature.check({"x": np.zeros(7, np.float32)}, {}).rows == 7


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ((), (Y,), "no input"),
        ((X,), (), "no output"),
        ((X, X), (Y,), "two inputs have one name"),
        ((X,), (Tensor(name="y", datatype="FP32", dimensions=(Dimension(offset=2),)),), "one and the same"),
        ((X,), (Tensor(name="y", datatype="FP32", dimensions=()),), "single value"),
        ((Tensor(name="x", datatype="COMPLEX64", dimensions=(B,)),), (Y,), "COMPLEX64"),
        ((Tensor(name="x", datatype="FP32", dimensions=(B, B)),), (Y,), "only its first dimension"),
        (
            (Tensor(name="x", datatype="FP32", dimensions=(Dimension("b", 2, 0),)),),
            (Tensor(name="y", datatype="FP32", dimensions=(Dimension("b", 2, 0),)),),
            "a size of its own",
        ),
    ],
)
def test_tensors_that_cannot_share_a_batch_are_refused(inputs: Any, outputs: Any, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        signature_of(inputs, outputs, SIZES)
