"""Bodies that are nearly right: each is a request, or a refusal that the caller can read, and never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_server.core.errors import InvalidCallError, UnsupportedError
from atheria_server.transport import rest_codec

SCALAR = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=4)
NAMES = ("name", "datatype", "shape", "data", "parameters", "x")
ANY = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner)
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["binary_data_size", "binary_data", "binary_data_output", "classification", "shared_memory_region"]
    ),
    SCALAR | ANY,
    max_size=2,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y", 1, None]),
        "datatype": st.sampled_from(["FP32", "BF16", "FP16", "BYTES", "BOOL", "INT8", "nothing", 3]),
        "shape": st.lists(st.integers(-1, 3) | SCALAR, max_size=3) | SCALAR,
        "data": ANY,
        "parameters": PARAMETERS | ANY,
    },
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "id": ANY,
        "inputs": st.lists(TENSOR | ANY, max_size=3) | ANY,
        "outputs": st.lists(TENSOR | ANY, max_size=2) | ANY,
        "parameters": PARAMETERS | ANY,
    },
)


@settings(max_examples=500, deadline=None)
@given(BODY | ANY, st.binary(max_size=20), st.sampled_from([None, "right", "3", "-1", "x", "9" * 30]))
def test_a_body_is_a_request_or_a_refusal(body: Any, raw: bytes, header: str | None) -> None:
    head = json.dumps(body).encode()
    length = str(len(head)) if header == "right" else header
    try:
        request, binary = rest_codec.read_request("m", "", head + (raw if length else b""), length)
    except (InvalidCallError, UnsupportedError):
        return
    assert all(isinstance(name, str) for name in (*request.inputs, *request.outputs))
    assert binary is None or binary <= set(request.outputs)
