"""LitAPIs written for LitServe run unmodified, over gRPC, REST and LitServe's own route."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.integration.server.harness import Server, StreamClient, eventually, tensor

SECONDS = 60


def serve(name: str, *arguments: str) -> Any:
    return Server(f"python://user_apis:{name}", *arguments)


@pytest.fixture(scope="module")
def simple() -> Iterator[Any]:
    with serve("SimpleLitAPI") as server:
        yield server


def predict(server: Any, body: Any) -> requests.Response:
    return requests.post(f"{server.http}/predict", json=body, timeout=SECONDS)


def test_the_api_of_the_documentation_answers_on_its_own_route(simple: Any) -> None:
    assert predict(simple, {"input": 4.0}).json() == {"output": 80.0}


def test_the_same_api_answers_tensors_over_grpc(simple: Any) -> None:
    with triton.InferenceServerClient(simple.grpc) as client:
        values = np.array([1.0, 2.0], np.float32)
        answer = client.infer("m", [tensor("input", values)], client_timeout=SECONDS)
        np.testing.assert_array_equal(answer.as_numpy("output"), values**2 + values**3)
        assert client.get_model_metadata("m").platform == "litserve"


def test_an_http_exception_of_the_model_is_the_callers_mistake_everywhere(simple: Any) -> None:
    refused = predict(simple, {"input": -1.0})
    assert refused.status_code == 422
    assert refused.json() == {"detail": "input must not be negative"}
    with triton.InferenceServerClient(simple.grpc) as client:
        with pytest.raises(InferenceServerException, match="must not be negative") as failed:
            client.infer("m", [tensor("input", np.array([-1.0], np.float32))])
        assert failed.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_an_exception_of_the_model_is_an_internal_error_and_the_next_call_works(simple: Any) -> None:
    failed = predict(simple, {"nothing": 1})
    assert failed.status_code == 500
    assert "KeyError" in failed.json()["detail"]
    assert predict(simple, {"input": 1.0}).json() == {"output": 2.0}


def test_an_answer_that_is_not_json_fails_that_call_only(simple: Any) -> None:
    failed = predict(simple, {"input": "object"})
    assert failed.status_code == 500
    assert "neither a tensor nor JSON" in failed.json()["detail"]
    assert predict(simple, {"input": 1.0}).json() == {"output": 2.0}
    assert not [line for line in simple.lines if "worker_died" in line]


def test_a_stream_call_of_an_api_that_does_not_stream_is_one_frame(simple: Any) -> None:
    with StreamClient(simple.grpc) as stream:
        stream.send("m", [tensor("input", np.array([3.0], np.float32))])
        frames, _ = stream.until_final()
    assert [f.as_numpy("output").tolist() for f in frames] == [[36.0]]


def test_an_api_that_batches_gets_batches_of_json_calls() -> None:
    with serve("BatchedLitAPI", "--set", "max_batch_size=4", "--max-latency", "10s") as server:
        assert predict(server, {"input": [1.0]}).json() == {"output": [2.0], "batch": 1}
        with ThreadPoolExecutor(16) as pool:

            def burst() -> bool:
                answers = list(pool.map(lambda i: predict(server, {"input": [float(i)]}).json(), range(16)))
                assert [a["output"] for a in answers] == [[2.0 * i] for i in range(16)]
                return max(a["batch"] for a in answers) > 1

            eventually("a batch of more than one call", burst)


def test_a_streaming_api_streams_over_grpc_and_its_own_route() -> None:
    with serve("StreamingLitAPI", "--set", "stream=true") as server:
        with StreamClient(server.grpc) as stream:
            stream.send("m", [tensor("count", np.array([3], np.int64), "INT64")])
            frames, _ = stream.until_final()
        assert [f.as_numpy("value").item() for f in frames] == [0, 1, 2]
        assert predict(server, {"count": 3}).text == '{"value": 0}\n{"value": 1}\n{"value": 2}\n'
        with triton.InferenceServerClient(server.grpc) as client:
            with pytest.raises(InferenceServerException, match="ModelStreamInfer") as refused:
                client.infer("m", [tensor("count", np.array([3], np.int64), "INT64")])
            assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_async_apis_run() -> None:
    with serve("AsyncLitAPI", "--set", "enable_async=true") as server:
        assert predict(server, {"input": 41}).json() == {"output": 42}
    with serve("AsyncStreamingLitAPI", "--set", "enable_async=true", "--set", "stream=true") as server:
        assert predict(server, {"count": 2}).text == '{"value": 0}\n{"value": 1}\n'


def test_a_typed_api_gets_its_own_pydantic_request_and_wrong_ones_are_refused() -> None:
    with serve("TypedLitAPI") as server:
        assert predict(server, {"text": "ab"}).json() == {"answer": "ABAB"}
        assert predict(server, {"times": 2}).status_code == 422


def test_what_was_decoded_is_used_again_for_equal_requests_only() -> None:
    with serve("CachingLitAPI") as server, triton.InferenceServerClient(server.grpc) as client:

        def decoded_at(*values: float, dtype: Any = np.float32, **parameters: Any) -> int:
            x = np.array(values, dtype)
            datatype = {"float32": "FP32", "float64": "FP64"}[x.dtype.name]
            answer = client.infer("m", [tensor("x", x, datatype)], parameters=parameters)
            np.testing.assert_array_equal(answer.as_numpy("y"), 2 * x)
            return int(answer.as_numpy("decoded"))

        assert [decoded_at(1, 2), decoded_at(1, 2), decoded_at(1, 2)] == [1, 1, 1]
        assert decoded_at(2, 1) == 2
        assert decoded_at(1, 2, dtype=np.float64) == 3
        assert decoded_at(1, 2) == 4, "only two are kept"
        assert decoded_at(1, 2, tone="warm") == 5
        eventually("hits", lambda: server.metric("atheria_decode_cache_hits_total") == 2)
        assert server.metric("atheria_decode_cache_misses_total") == 5
