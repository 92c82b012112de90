"""tritonclient over HTTP, blocking and asyncio: every call that it has, every datatype, both ways of sending tensors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TENSORS = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 1]], np.int16),
    "INT32": np.array([[-(2**31), 1]], np.int32),
    "INT64": np.array([[-(2**63), 1]], np.int64),
    "FP16": np.array([[0.5, -65504]], np.float16),
    "FP32": np.array([[0.1, np.inf]], np.float32),
    "FP64": np.array([[0.1, np.nan]], np.float64),
    "BYTES": np.array([["grün".encode(), b"\x00\xff"]], object),
}


@pytest.fixture
def client(mirror_server: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(mirror_server.http.removeprefix("http://"), concurrency=4) as found:
        yield found


@pytest.fixture
async def aio(mirror_server: Any) -> AsyncIterator[triton_aio.InferenceServerClient]:
    async with triton_aio.InferenceServerClient(mirror_server.http.removeprefix("http://")) as found:
        yield found


def given(values: np.ndarray[Any, Any], *, binary: bool = True, name: str = "x") -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return made.set_data_from_numpy(values, binary_data=binary)


def test_the_server_and_the_model_are_ready_and_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("m", "1")["versions"] == ["1"]
    assert client.get_model_config("m")["name"] == "m"
    assert client.get_model_repository_index()[0]["state"] == "READY"
    assert client.get_inference_statistics()["model_stats"][0]["name"] == "m"


@pytest.mark.parametrize("datatype", sorted(TENSORS))
def test_a_binary_tensor_of_each_datatype_comes_back_byte_for_byte(
    client: triton.InferenceServerClient, datatype: str
) -> None:
    values = TENSORS[datatype]
    answer = client.infer("m", [given(values)], request_id="r1")
    found = answer.as_numpy("x")
    assert found.dtype == values.dtype
    assert found.tolist() == values.tolist() if datatype == "BYTES" else found.tobytes() == values.tobytes()
    assert answer.get_output("x")["datatype"] == datatype
    assert answer.get_response()["id"] == "r1"


@pytest.mark.parametrize("datatype", ["BOOL", "UINT64", "INT64", "FP64"])
def test_a_json_tensor_comes_back_as_json(client: triton.InferenceServerClient, datatype: str) -> None:
    values = np.nan_to_num(TENSORS[datatype])
    wanted = [triton.InferRequestedOutput("x", binary_data=False)]
    answer = client.infer("m", [given(values, binary=False)], outputs=wanted)
    assert answer.as_numpy("x").tolist() == values.tolist()
    assert answer.get_output("x")["data"] == values.ravel().tolist()


def test_texts_go_as_json_too(client: triton.InferenceServerClient) -> None:
    texts = np.array([["a", "grün"]], object)
    wanted = [triton.InferRequestedOutput("x", binary_data=False)]
    answer = client.infer("m", [given(texts, binary=False)], outputs=wanted)
    assert answer.get_output("x")["data"] == ["a", "grün"]


def test_one_call_mixes_binary_and_json_and_both_ways_of_compression(
    client: triton.InferenceServerClient,
) -> None:
    a, b = np.arange(64, dtype=np.float32).reshape(8, 8), np.array([[1, 2]], np.int32)
    for packing in (None, "gzip", "deflate"):
        answer = client.infer(
            "m",
            [given(a, name="a"), given(b, name="b", binary=False)],
            outputs=[triton.InferRequestedOutput("b"), triton.InferRequestedOutput("a", binary_data=False)],
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
        )
        assert [o["name"] for o in answer.get_response()["outputs"]] == ["b", "a"]
        np.testing.assert_array_equal(answer.as_numpy("a"), a)
        np.testing.assert_array_equal(answer.as_numpy("b"), b)


def test_calls_in_flight_at_once_each_get_their_own_answer(client: triton.InferenceServerClient) -> None:
    calls = [client.async_infer("m", [given(np.full((1, 3), n, np.float32))]) for n in range(16)]
    assert [call.get_result(timeout=60).as_numpy("x")[0, 0] for call in calls] == list(range(16))


def test_protocol_parameters_are_taken_and_a_deadline_of_the_request_counts(
    client: triton.InferenceServerClient,
) -> None:
    one = given(np.ones((1, 1), np.float32))
    sequence = {"sequence_id": 7, "sequence_start": True, "sequence_end": True, "priority": 1}
    assert client.infer("m", [one], timeout=60_000_000, **sequence).as_numpy("x").item() == 1
    with pytest.raises(InferenceServerException, match="microseconds"):
        client.infer("m", [one], timeout=-1)


REFUSED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("load", lambda c: c.load_model("m"), "cannot load models"),
    ("unload", lambda c: c.unload_model("m"), "cannot unload models"),
    ("trace", lambda c: c.get_trace_settings(), "settings of traces"),
    ("trace of a model", lambda c: c.update_trace_settings("m", {"trace_rate": "1"}), "settings of traces"),
    ("log", lambda c: c.get_log_settings(), "settings of the log"),
    ("log change", lambda c: c.update_log_settings({"log_info": False}), "settings of the log"),
    ("shared memory", lambda c: c.get_system_shared_memory_status(), "does not offer shared memory"),
    ("a region", lambda c: c.register_system_shared_memory("r", "/r", 4), "does not offer shared memory"),
    ("no region", lambda c: c.unregister_system_shared_memory(), "does not offer shared memory"),
    ("device memory", lambda c: c.get_cuda_shared_memory_status("r"), "does not offer shared memory"),
]


@pytest.mark.parametrize(("ask", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_not_offered_is_501_with_a_sentence(
    client: triton.InferenceServerClient, ask: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(InferenceServerException, match=words) as refused:
        ask(client)
    assert refused.value.status() == "501"


def test_a_tensor_in_shared_memory_and_a_classification_are_refused_by_name(
    client: triton.InferenceServerClient,
) -> None:
    shared = triton.InferInput("x", [1, 1], "FP32")
    shared.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match="input 'x' has the parameter shared_memory_region"):
        client.infer("m", [shared])
    into = triton.InferRequestedOutput("x")
    into.set_shared_memory("region", 4)
    one = given(np.ones((1, 1), np.float32))
    with pytest.raises(InferenceServerException, match="output 'x' has the parameter shared_memory_region"):
        client.infer("m", [one], outputs=[into])
    with pytest.raises(InferenceServerException, match="classification is not offered") as refused:
        client.infer("m", [one], outputs=[triton.InferRequestedOutput("x", class_count=3)])
    assert refused.value.status() == "501"


def test_an_unknown_model_is_404_with_the_served_one(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="serves 'm'") as refused:
        client.infer("nobody", [given(np.ones((1, 1), np.float32))])
    assert refused.value.status() == "404"


async def test_the_asyncio_client_makes_the_same_calls(aio: triton_aio.InferenceServerClient) -> None:
    assert await aio.is_server_live()
    assert await aio.is_server_ready()
    assert await aio.is_model_ready("m")
    assert (await aio.get_server_metadata())["name"] == "atheria"
    assert (await aio.get_model_metadata("m"))["name"] == "m"
    assert (await aio.get_model_config("m", "1"))["platform"] == "litserve"
    assert (await aio.get_model_repository_index())[0]["name"] == "m"
    stats = await aio.get_inference_statistics("m")
    assert stats["model_stats"][0]["version"] == "1"
    for values in TENSORS.values():
        answer = await aio.infer("m", [given(values)], request_id="7")
        np.testing.assert_array_equal(answer.as_numpy("x"), values)
        assert answer.get_response()["id"] == "7"
    with pytest.raises(InferenceServerException, match="does not offer shared memory"):
        await aio.get_system_shared_memory_status()
    with pytest.raises(InferenceServerException, match="serves 'm'"):
        await aio.get_model_metadata("nobody")
