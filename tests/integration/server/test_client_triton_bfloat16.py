"""BF16 by tritonclient over gRPC and HTTP: numpy has no such type, so the model behind it is one of torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http
from tritonclient.utils import InferenceServerException

from tests.integration.server.harness import Server

VALUES = np.array([[0.5, -3.0, 1e38, np.inf]], ml_dtypes.bfloat16)


@pytest.fixture(scope="module")
def mirror() -> Iterator[Any]:
    with Server("python://mirror_api:TorchMirrorLitAPI") as server:
        yield server


def both(mirror: Any, library: Any) -> Any:
    target = mirror.grpc if library is by_grpc else mirror.http.removeprefix("http://")
    tensor = library.InferInput("x", list(VALUES.shape), "BF16")
    with library.InferenceServerClient(target) as client:
        return client.infer("m", [tensor.set_data_from_numpy(VALUES)])


@pytest.mark.parametrize("library", [by_grpc, by_http], ids=["grpc", "http"])
def test_bfloat16_comes_back_bit_for_bit(mirror: Any, library: Any) -> None:
    found = both(mirror, library).as_numpy("x")
    assert found.dtype == VALUES.dtype
    assert found.tobytes() == VALUES.tobytes()


def test_bfloat16_as_json_are_its_exact_numbers(mirror: Any) -> None:
    tensor = by_http.InferInput("x", list(VALUES.shape), "BF16").set_data_from_numpy(VALUES)
    finite = by_http.InferInput("x", [1, 3], "BF16").set_data_from_numpy(VALUES[:, :3])
    wanted = [by_http.InferRequestedOutput("x", binary_data=False)]
    with by_http.InferenceServerClient(mirror.http.removeprefix("http://")) as client:
        answer = client.infer("m", [finite], outputs=wanted)
        assert answer.get_output("x")["datatype"] == "BF16"
        assert answer.get_output("x")["data"] == VALUES[0, :3].astype(float).tolist()
        with pytest.raises(InferenceServerException, match="binary_data"):
            client.infer("m", [tensor], outputs=wanted)
