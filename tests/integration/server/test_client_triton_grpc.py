"""tritonclient over gRPC: the asyncio client with its stream, every datatype, and the calls that are not offered.

The blocking client and its stream are used throughout the other tests of this folder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.integration.server.harness import tensor

TENSORS = (
    np.array([[True, False]]),
    np.array([[0, 255]], np.uint8),
    np.array([[0, 65535]], np.uint16),
    np.array([[0, 2**32 - 1]], np.uint32),
    np.array([[0, 2**64 - 1]], np.uint64),
    np.array([[-128, 127]], np.int8),
    np.array([[-(2**15), 1]], np.int16),
    np.array([[-(2**31), 1]], np.int32),
    np.array([[-(2**63), 1]], np.int64),
    np.array([[0.5, -65504]], np.float16),
    np.array([[0.1, np.inf]], np.float32),
    np.array([[0.1, 1e300]], np.float64),
    np.array([["grün".encode(), b"\x00\xff", b""]], object),
)
SIZE = {"height": 16, "width": 16}


@pytest.fixture
def client(mirror_server: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(mirror_server.grpc) as found:
        yield found


@pytest.fixture
async def aio(qca_server: Any) -> AsyncIterator[triton_aio.InferenceServerClient]:
    async with triton_aio.InferenceServerClient(qca_server.grpc) as found:
        yield found


def given(values: np.ndarray[Any, Any]) -> triton.InferInput:
    return tensor("x", values, np_to_triton_dtype(values.dtype))


@pytest.mark.parametrize("values", TENSORS, ids=lambda v: np_to_triton_dtype(v.dtype))
def test_a_tensor_of_each_datatype_comes_back_as_it_went(
    client: triton.InferenceServerClient, values: np.ndarray[Any, Any]
) -> None:
    answer = client.infer("m", [given(values)], client_timeout=60)
    found = answer.as_numpy("x")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    assert answer.get_output("x").datatype == np_to_triton_dtype(values.dtype)


def test_a_packed_request_is_read(client: triton.InferenceServerClient) -> None:
    values = np.zeros((4, 1024), np.float32)
    for packing in ("gzip", "deflate"):
        answer = client.infer("m", [given(values)], compression_algorithm=packing)
        np.testing.assert_array_equal(answer.as_numpy("x"), values)


REFUSED: list[Callable[[Any], Any]] = [
    lambda c: c.get_system_shared_memory_status(),
    lambda c: c.register_system_shared_memory("r", "/r", 4),
    lambda c: c.unregister_system_shared_memory("r"),
    lambda c: c.get_cuda_shared_memory_status(),
    lambda c: c.unregister_cuda_shared_memory(),
    lambda c: c.get_trace_settings(),
    lambda c: c.update_log_settings({"log_info": False}),
]


@pytest.mark.parametrize("ask", REFUSED)
def test_what_is_not_offered_is_unimplemented_with_a_sentence(
    client: triton.InferenceServerClient, ask: Callable[[Any], Any]
) -> None:
    with pytest.raises(InferenceServerException, match="is not offered; there are ServerLive") as refused:
        ask(client)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


async def test_the_asyncio_client_makes_the_same_calls(aio: triton_aio.InferenceServerClient) -> None:
    assert await aio.is_server_live()
    assert await aio.is_server_ready()
    assert await aio.is_model_ready("qca", "1")
    assert (await aio.get_server_metadata()).name == "atheria"
    assert [i.name for i in (await aio.get_model_metadata("qca")).inputs] == ["state", "seed"]
    assert (await aio.get_model_config("qca")).config.name == "qca"
    assert (await aio.get_model_repository_index()).models[0].state == "READY"
    assert (await aio.get_inference_statistics("qca")).model_stats[0].version == "1"
    seed = tensor("seed", np.array([4], np.int64), "INT64")
    answer = await aio.infer("qca", [seed], parameters=SIZE, request_id="a1")
    assert answer.as_numpy("density").shape == (1, 16, 16)
    assert answer.get_response().id == "a1"
    with pytest.raises(InferenceServerException, match="serves 'qca'"):
        await aio.infer("nobody", [seed])
    with pytest.raises(InferenceServerException, match="SystemSharedMemoryStatus is not offered"):
        await aio.get_system_shared_memory_status()


async def test_the_asyncio_stream_gives_every_frame_and_the_final_answer(
    aio: triton_aio.InferenceServerClient,
) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield {
                "model_name": "qca",
                "inputs": [tensor("seed", np.array([number], np.int64), "INT64")],
                "outputs": [triton.InferRequestedOutput("density")],
                "parameters": {**SIZE, "steps": 4, "every": 2},
                "request_id": str(number),
                "enable_empty_final_response": True,
            }

    steps: dict[str, list[int]] = {}
    finals = set()
    async for result, error in aio.stream_infer(requests(), stream_timeout=60):
        assert error is None
        found = result.get_response()
        if found.parameters["triton_final_response"].bool_param:
            finals.add(found.id)
        else:
            steps.setdefault(found.id, []).append(found.parameters["step"].int64_param)
    assert steps == {"0": [2, 4], "1": [2, 4], "2": [2, 4]}
    assert finals == {"0", "1", "2"}


def test_a_tensor_in_shared_memory_and_a_classification_are_refused_by_name(
    client: triton.InferenceServerClient,
) -> None:
    one = given(np.ones((1, 1), np.float32))
    shared = triton.InferInput("x", [1, 1], "FP32")
    shared.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match="input 'x' has the parameter shared_memory_region"):
        client.infer("m", [shared])
    into = triton.InferRequestedOutput("x")
    into.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match="output 'x' has the parameter shared_memory_region"):
        client.infer("m", [one], outputs=[into])
    with pytest.raises(InferenceServerException, match="classification is not offered") as refused:
        client.infer("m", [one], outputs=[triton.InferRequestedOutput("x", class_count=3)])
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
